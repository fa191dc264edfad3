// What the browser tests stand on: the program, a browser, checks that say what they found.
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

export const [vortex, synthetic, sourceDir] = process.argv.slice(2);
export const shots = process.env.VORTEX_SHOTS ?? "";

let passed = 0;
const failures = [];

export function check(condition, what) {
  if (condition) {
    ++passed;
  } else {
    failures.push(what);
    console.error(`FAILED: ${what}`);
  }
}

export function finish() {
  console.log(`${passed} passed, ${failures.length} failed`);
  process.exitCode = failures.length > 0 ? 1 : 0;
}

const cleanups = [];
export async function cleanUp() {
  for (const cleanup of cleanups.reverse()) await cleanup();
}

export function folder() {
  const path = mkdtempSync(join(tmpdir(), "vortex-web-"));
  cleanups.push(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

export function makeRun(workspace, ...more) {
  const done = spawnSync(synthetic, [workspace, ...more], { encoding: "utf8" });
  if (done.status !== 0) throw new Error(`synthetic_run: ${done.stderr}`);
}

// A made-up run that goes on while the tests look at it.
export function startRun(workspace, ...more) {
  const child = spawn(synthetic, [workspace, ...more], { stdio: "ignore" });
  cleanups.push(() => child.kill("SIGKILL"));
  return child;
}

export async function serve(workspace, port = 0) {
  const child = spawn(vortex, ["dashboard", "--workspace", workspace, "--port", String(port), "--format", "jsonl"], {
    stdio: ["ignore", "pipe", "inherit"],
    cwd: sourceDir, // the recorded run names its model from there
  });
  cleanups.push(() => child.kill("SIGKILL"));
  const line = await new Promise((resolve, reject) => {
    let text = "";
    child.stdout.on("data", (data) => {
      text += data;
      if (text.includes("\n")) resolve(text);
    });
    child.on("exit", (code) => reject(new Error(`vortex dashboard ended with ${code}`)));
  });
  const { url, port: real } = JSON.parse(line);
  const token = new URL(url).searchParams.get("token");
  return { child, url, token, port: real, base: `http://127.0.0.1:${real}`, pid: child.pid };
}

export async function end(server) {
  const gone = new Promise((resolve) => server.child.on("exit", resolve));
  server.child.kill("SIGTERM");
  await gone;
}

export async function browse() {
  const browser = await chromium.launch({
    executablePath: process.env.VORTEX_CHROMIUM ?? "/usr/bin/chromium",
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
  cleanups.push(() => browser.close());
  return browser;
}

// A page that reports what went wrong in it.
export async function open(browser, server, { width = 1280, dark = false, signedIn = true } = {}) {
  const context = await browser.newContext({
    viewport: { width, height: width < 600 ? 844 : 900 },
    colorScheme: dark ? "dark" : "light",
    reducedMotion: "reduce",
    timezoneId: "UTC",
    locale: "en-GB",
    permissions: ["clipboard-read", "clipboard-write"],
  });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  page.problems = [];
  page.on("console", (message) => {
    if (message.type() === "error" && !/ERR_CONNECTION|ERR_INCOMPLETE|Failed to load resource/.test(message.text())) page.problems.push(message.text());
  });
  page.on("pageerror", (error) => page.problems.push(String(error)));
  page.on("dialog", (dialog) => {
    page.dialogs = (page.dialogs ?? 0) + 1;
    void dialog.accept();
  });
  await page.goto(signedIn ? server.url : server.base);
  return page;
}

export const axeSource = readFileSync(new URL("./node_modules/axe-core/axe.min.js", import.meta.url), "utf8");

// Serious findings of axe, as text.
export async function axe(page) {
  await page.evaluate(axeSource);
  return page.evaluate(async () => {
    const result = await axe.run(document, { resultTypes: ["violations"] });
    return result.violations
      .filter((one) => one.impact === "serious" || one.impact === "critical")
      .map((one) => `${one.id}: ${one.nodes.slice(0, 3).map((node) => node.target.join(" ")).join("; ")}`);
  });
}

export async function until(what, test, seconds = 20) {
  const limit = Date.now() + seconds * 1000;
  for (;;) {
    if (await test()) return true;
    if (Date.now() > limit) {
      check(false, `${what}: not within ${seconds} s`);
      return false;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
