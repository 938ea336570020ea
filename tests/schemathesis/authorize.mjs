// In a browser: logs in by the "Authorize" button of the page over the API, calls GET /auth/me, and says what
// came of it and which hosts were asked. `./dev swagger-ui` runs it.
import { chromium } from 'playwright-core';

const [base, username, password, screenshot] = process.argv.slice(2);
const quiet = ['--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-first-run'];
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', ...quiet] });
const page = await browser.newPage({ viewport: { width: 1200, height: 1000 } });
const hosts = new Set();
const problems = [];
page.on('request', (request) => hosts.add(new URL(request.url()).host));
page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));

await page.goto(`${base}/auth/docs`);
await page.click('button.authorize');
const form = page.locator('.auth-container', { hasText: 'password (OAuth2' }).first();
await form.locator('#oauth_username').fill(username);
await form.locator('#oauth_password').fill(password);
await form.locator('button.authorize').click();
await form.getByText('Logout').waitFor();
await page.click('.modal-ux-header .close-modal');

const operation = page.locator('#operations-accounts-read_me');
await operation.locator('.opblock-summary').click();
await operation.locator('button.execute').click();
const status = operation.locator('.live-responses-table tbody .response-col_status').first();
await status.waitFor();
const outcome = (await status.textContent()).trim();
await operation.scrollIntoViewIfNeeded();
await page.screenshot({ path: screenshot });
await browser.close();

console.log(`GET /auth/me: ${outcome}; hosts asked: ${[...hosts].join(', ')}; complaints: ${problems.length}`);
const isGood = outcome === '200' && hosts.size === 1 && problems.length === 0;
process.exit(isGood ? 0 : 1);
