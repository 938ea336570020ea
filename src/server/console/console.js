// Conveniences only: pages keep themselves up to date, and deeds are asked about twice.
"use strict";

const PERIOD = 5000;

async function update() {
    const live = document.querySelector("[data-live]");
    if (!live || document.hidden) return;
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (answer.redirected || !answer.ok) return location.reload();
    const next = new DOMParser().parseFromString(await answer.text(), "text/html");
    const replacement = next.querySelector("[data-live]");
    if (replacement) live.replaceWith(replacement);
}

document.addEventListener("submit", (event) => {
    const question = event.target.dataset.question;
    if (question && !confirm(question)) event.preventDefault();
});

setInterval(() => update().catch(() => {}), PERIOD);
