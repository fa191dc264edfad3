// Pictures of every view of a workspace's newest run: node shots.mjs VORTEX - SOURCE_DIR WORKSPACE FOLDER
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { browse, cleanUp, open, serve } from "./harness.mjs";

const [workspace, target] = process.argv.slice(5);
mkdirSync(target, { recursive: true });
const server = await serve(workspace);
const browser = await browse();
const ask = async (path) => (await fetch(`${server.base}/api/${path}`)).json();
const { newest: run } = await ask("about");
const overview = await ask(`runs/${run}/overview`);
const passed = (await ask(`runs/${run}/candidates?verdict=pass&sort=-speed`)).items.filter((row) => row.origin !== "dense");
const best = overview.best?.candidate ?? overview.front.at(-1)?.candidate ?? passed[0].candidate;
const views = {
  overview: `/r/${run}`,
  candidate: `/c/${best}`,
  lineage: `/r/${run}/lineage`,
  diversity: `/r/${run}/diversity`,
  compare: `/compare?c=${[...new Set([best, ...passed.slice(0, 2).map((row) => row.candidate)])].slice(0, 2).join(",")}`,
  notebook: `/r/${run}/notebook`,
  failures: `/r/${run}/failures`,
  runs: "/runs",
  environment: `/r/${run}/environment`,
  brief: `/r/${run}/brief`,
};
for (const [width, dark, only] of [[1280, false, Object.keys(views)], [1280, true, ["overview"]], [390, false, ["overview", "candidate"]]]) {
  const page = await open(browser, server, { width, dark });
  for (const name of only) {
    await page.goto(server.base + views[name]);
    await page.locator("main h1, main h2").first().waitFor();
    await page.locator("main .quiet[role=status]", { hasText: "…" }).waitFor({ state: "detached" });
    await page.waitForTimeout(400);
    await page.screenshot({ path: join(target, `${name}-${width}-${dark ? "dark" : "light"}.png`), fullPage: true });
  }
}
await cleanUp();
