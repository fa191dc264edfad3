// How the dashboard fares with a very large run: node scale.mjs VORTEX SYNTHETIC_RUN SOURCE_DIR [CANDIDATES]. Prints
// measurements; decides nothing.
import { readFileSync } from "node:fs";
import { loadavg } from "node:os";
import { browse, cleanUp, end, folder, makeRun, open, serve, sourceDir } from "./harness.mjs";

const candidates = process.argv[5] ?? "50000";
const workspace = process.env.VORTEX_SCALE_WORKSPACE ?? folder();
const memory = (pid) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]) / 1024;
const timed = async (what, work) => {
  const begin = performance.now();
  const result = await work();
  console.log(`${what}: ${(performance.now() - begin).toFixed(0)} ms`);
  return result;
};

if (!process.env.VORTEX_SCALE_WORKSPACE) await timed(`writing ${candidates} candidates`, async () => makeRun(workspace, candidates, sourceDir, "large"));
const server = await serve(workspace);
await timed("first overview from the API, cold", async () => (await fetch(`${server.base}/api/runs/large/overview`)).text());
const text = await timed("overview from the API, warm", async () => (await fetch(`${server.base}/api/runs/large/overview`)).text());
console.log(`its size: ${(text.length / 1024).toFixed(0)} KiB; memory of the server: ${memory(server.pid).toFixed(0)} MiB`);
await end(server);

const browser = await browse();
const fresh = await serve(workspace);
const page = await open(browser, fresh, { signedIn: false });
await page.goto(fresh.base);
await page.close();
const cold = await serve(workspace);
const view = await (await browser.newContext({ viewport: { width: 1280, height: 900 } })).newPage();
await timed("page opened until the front is drawn, server cold", async () => {
  await view.goto(`${cold.base}/r/large`);
  await view.locator("a.member").first().waitFor();
});
console.log(`first contentful paint: ${(await view.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? 0)).toFixed(0)} ms`);
await timed("from there until all candidates are read", async () => {
  while (!(await (await fetch(`${cold.base}/api/runs/large/overview`)).json()).reading.all) await new Promise((resolve) => setTimeout(resolve, 100));
});
await view.waitForTimeout(2000);
await timed("again, server warm", async () => {
  await view.goto(`${cold.base}/r/large`);
  await view.locator("a.member").first().waitFor();
});
console.log(`first contentful paint: ${(await view.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? 0)).toFixed(0)} ms`);
const move = await view.evaluate(async () => {
  const plot = document.querySelector(".plot svg");
  const frame = plot.getBoundingClientRect();
  const times = [];
  for (let i = 0; i < 60; ++i) {
    const begin = performance.now();
    plot.dispatchEvent(new PointerEvent("pointermove", { bubbles: true, clientX: frame.left + 100 + 8 * i, clientY: frame.top + 120 }));
    await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
    times.push(performance.now() - begin);
  }
  return times;
});
const [first, ...others] = move;
others.sort((a, b) => a - b);
console.log(`pointing at the plot as soon as its front is there, until two frames are drawn: ${first.toFixed(0)} ms`);
console.log(`then: median ${others[29].toFixed(0)} ms, worst ${others[58].toFixed(0)} ms`);
// From the key or the click until the rows that it asks for are drawn.
const acted = async (what, act, holds) => {
  const times = [];
  for (let i = 0; i < 12; ++i) {
    times.push(
      await view.evaluate(
        async ([actText, holdsText, turn]) => {
          const [doIt, isThere] = [new Function("turn", actText), new Function("turn", holdsText)];
          const begin = performance.now();
          doIt(turn);
          while (!isThere(turn)) await new Promise((resolve) => requestAnimationFrame(resolve));
          return performance.now() - begin;
        },
        [act, holds, i],
      ),
    );
  }
  times.sort((a, b) => a - b);
  console.log(`${what}: median ${times[6].toFixed(0)} ms, worst ${times[11].toFixed(0)} ms`);
};
await acted(
  "a filter of the list of all",
  `const select = document.querySelector("form.filters select"); select.value = turn % 2 ? "fail" : "pass"; select.dispatchEvent(new Event("change", { bubbles: true }));`,
  `const rows = [...document.querySelectorAll("section[aria-labelledby=all-title] tbody .verdict")]; return rows.length > 0 && rows.every((row) => row.textContent.includes(turn % 2 ? "fail" : "pass"));`,
);
await acted(
  "sorting all",
  `window.before = document.querySelector("section[aria-labelledby=all-title] tbody").textContent; [...document.querySelectorAll("section[aria-labelledby=all-title] th button")].find((one) => one.textContent.startsWith(turn % 2 ? "seconds" : "candidate")).click();`,
  `return document.querySelector("section[aria-labelledby=all-title] tbody").textContent !== window.before;`,
);
for (const [what, path] of [["failures", "/r/large/failures"], ["lineage", "/r/large/lineage"], ["diversity", "/r/large/diversity"]]) {
  await timed(`${what} opened`, async () => {
    await view.goto(cold.base + path);
    await view.locator("figure, table").first().waitFor();
  });
}
for (const query of ["verdict=pass&sort=-speed", "q=oracle", "sort=-seconds&offset=20000"]) {
  await timed(`candidates?${query}`, async () => (await fetch(`${cold.base}/api/runs/large/candidates?${query}&limit=50`)).text());
}
console.log(`memory of the server: ${memory(cold.pid).toFixed(0)} MiB; load of the machine: ${loadavg().map((one) => one.toFixed(1)).join(" ")}`);
await cleanUp();
