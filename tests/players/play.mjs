// play.mjs MODULES BROWSER PAGE: opens a page of player.mjs in a browser and prints its outcome as JSON.

import { createRequire } from "node:module";

const [modules, executablePath, page] = process.argv.slice(2);
const { chromium } = createRequire(`${modules}/`)("playwright-core");

const args = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required",
  // A direct connection, whatever the machine's settings say.
  "--no-proxy-server",
];
const browser = await chromium.launch({ executablePath, args, headless: true });
try {
  const tab = await browser.newPage();
  const complaints = [];
  tab.on("pageerror", (error) => complaints.push(String(error)));
  tab.on("console", (message) => { if (message.type() === "error") complaints.push(message.text()); });
  await tab.goto(page);
  const outcome = await tab.waitForFunction(() => window.outcome, null, { timeout: 50_000 });
  console.log(JSON.stringify({ ...await outcome.jsonValue(), complaints }));
} finally {
  await browser.close();
}
