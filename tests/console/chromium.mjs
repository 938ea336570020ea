// The operator console in a real browser: signed in, looked at, used, with scripts and without; hostile names
// run nothing. Leaves screenshots in docs/console. Run by `./dev console`.
import assert from "node:assert/strict";
import { createRequire } from "node:module";

const [, , modules, proxy, admin, shots] = process.argv;
const { chromium } = createRequire(`${modules}/`)("playwright-core");
const PASSWORD = "correct horse battery staple";
const HOSTILE = "\"><img src=x onerror=\"document.title='owned'\">";

async function call(path, options = {}) {
    const headers = { "content-type": "application/json", ...options.headers };
    return fetch(proxy + path, { ...options, headers });
}

async function login(username, agent) {
    const body = JSON.stringify({ username, password: PASSWORD });
    const answer = await call("/auth/login", { method: "POST", body, headers: { "user-agent": agent } });
    return (await answer.json()).access_token;
}

// Something to see: users, sessions with odd programs, refusals of several kinds. The console notes the rate
// every ten seconds; a line of it needs three.
async function traffic() {
    for (const username of ["alice", "bob", "carol"]) {
        await call("/auth/register", { method: "POST", body: JSON.stringify({ username, password: PASSWORD }) });
    }
    await call("/auth/login", { method: "POST", body: JSON.stringify({ username: HOSTILE, password: "wrong" }) });
    await login("bob", "curl/8.9");
    const token = await login("alice", HOSTILE);
    const bearer = { headers: { authorization: `Bearer ${token}` } };
    const until = Date.now() + 35_000;
    for (let turn = 0; Date.now() < until; turn++) {
        await new Promise((done) => setTimeout(done, turn % 97));
        await call("/public/hello");
        await call("/protected", bearer);
        if (turn % 2) await call("/protected");
        if (turn % 3 === 0) await call("/admin/dashboard", bearer);
        if (turn % 5 === 0) await call("/billing/invoices");
    }
}

async function signIn(page) {
    await page.goto(`${admin}/console/`);
    assert.equal(new URL(page.url()).pathname, "/console/login");
    await page.fill("[name=username]", "root");
    await page.fill("[name=password]", "wrong");
    await page.click("button");
    assert.match(await page.textContent("[role=alert]"), /wrong/);
    await page.fill("[name=username]", "root");
    await page.fill("[name=password]", PASSWORD);
    await page.click("button");
    assert.equal(new URL(page.url()).pathname, "/console/");
}

async function walk(page, javaScriptEnabled) {
    await login("alice", HOSTILE);
    const shot = async (name) => {
        if (javaScriptEnabled) await page.screenshot({ path: `${shots}/${name}.png` });
    };
    await page.goto(`${admin}/console/login`);
    await shot("login");
    await signIn(page);
    assert.ok(await page.locator("svg").count() >= 4);
    assert.ok((await page.textContent("main")).includes("role_missing"));
    await shot("overview");

    await page.click("nav >> text=Users");
    await page.fill("[name=search]", "al");
    await page.click("text=Search");
    await page.click("text=alice");
    assert.ok((await page.textContent("main")).includes(HOSTILE), "shown as text");
    await shot("user");
    page.on("dialog", (dialog) => dialog.accept());
    await page.click("button:has-text('Disable')");
    await page.waitForURL(/done=disable/);
    assert.match(await page.textContent(".said"), /Disabled/);
    await page.click("button:has-text('Enable')");
    await page.waitForURL(/done=enable/);

    await page.click("nav >> text=Audit");
    assert.ok((await page.textContent("main")).includes(HOSTILE.slice(0, 20)));
    await shot("audit");
    await page.click("nav >> text=Explain");
    await page.fill("[name=url]", "/admin/dashboard");
    await page.fill("[name=user]", "alice");
    await page.click("main button");
    assert.match(await page.textContent("main"), /role_missing/);
    await shot("explain");
    await page.click("nav >> text=Policy");
    await shot("policy");
    assert.equal(await page.evaluate(() => document.querySelectorAll("main img").length), 0, "nothing was made of text");
    assert.notEqual(await page.title(), "owned");
    await page.click("text=Sign out");
    assert.equal(new URL(page.url()).pathname, "/console/login");
}

await traffic();
const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync"],
});
const problems = [];
for (const javaScriptEnabled of [true, false]) {
    const context = await browser.newContext({ javaScriptEnabled, viewport: { width: 1100, height: 800 } });
    const page = await context.newPage();
    page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
    page.on("pageerror", (error) => problems.push(String(error)));
    page.on("requestfailed", (request) => {
        // Left for another page before it was whole.
        const reason = request.failure()?.errorText;
        if (reason !== "net::ERR_ABORTED") problems.push(`${request.url()}: ${reason}`);
    });
    await walk(page, javaScriptEnabled);
    await context.close();
    console.log(`console: walked ${javaScriptEnabled ? "with" : "without"} scripts`);
}
await browser.close();
// The refused sign-in is one, twice.
const unexpected = problems.filter((problem) => !problem.includes("403"));
assert.deepEqual(unexpected, []);
console.log("console: 2 passed, 0 failed");
