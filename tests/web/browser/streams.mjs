// What open pages cost a search: node streams.mjs VORTEX SYNTHETIC_RUN SOURCE_DIR [CLIENTS [TURNS [SECONDS]]]. A real
// search on the shipped model runs; in turns, CLIENTS streams follow it, or none. Prints measurements; decides nothing.
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { cleanUp, end, folder, serve, sourceDir, until, vortex } from "./harness.mjs";

const [clients, turns, seconds] = [process.argv[5] ?? 50, process.argv[6] ?? 8, process.argv[7] ?? 30].map(Number);
const ticks = 100; // of a second, in which Linux counts CPU time

const cpuSeconds = (pid) => {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
  return (Number(fields[11]) + Number(fields[12])) / ticks;
};
const sleep = (s) => new Promise((resolve) => setTimeout(resolve, 1000 * s));
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const spread = (values) => Math.sqrt(values.reduce((sum, value) => sum + (value - mean(values)) ** 2, 0) / (values.length - 1));
const shown = (values, digits) => `${mean(values).toFixed(digits)} ± ${(spread(values) / Math.sqrt(values.length)).toFixed(digits)}`;

const workspace = folder();
const search = spawn(vortex, ["search", "--model", join(sourceDir, "models/chain-4m"), "--problems", "4", "--for", "2h", "--threads", "1", "--workspace", workspace], { stdio: "ignore" });
await until("the search starts", () => existsSync(join(workspace, "search.lock")));
const server = await serve(workspace);
let run = "";
await until("it has a run", async () => (run = (await (await fetch(`${server.base}/api/about`)).json()).newest) !== "");
const overview = async () => (await fetch(`${server.base}/api/runs/${run}/overview`)).json();
await until("it has results", async () => (await overview()).counts.evaluated > 0, 120);

async function follow(control, got) {
  try {
    const response = await fetch(`${server.base}/api/runs/${run}/stream?cursor=`, { signal: control.signal });
    for await (const part of response.body) got.bytes += part.length;
  } catch {
    // ended
  }
}

const rows = async () => (await overview()).funnel.reduce((sum, stage) => sum + Object.values(stage.verdicts).reduce((a, b) => a + b, 0), 0);
const results = { with: [], without: [] };
for (let turn = 0; turn < 2 * turns; ++turn) {
  // Pairs begin in turns with and without, so that a drift of the machine hits both.
  const on = (turn % 2 === 0) === (Math.floor(turn / 2) % 2 === 0);
  const control = new AbortController();
  const got = { bytes: 0 };
  if (on) for (let i = 0; i < clients; ++i) void follow(control, got);
  await sleep(1);
  const before = { rows: await rows(), server: cpuSeconds(server.pid), own: process.cpuUsage() };
  const began = performance.now();
  await sleep(seconds);
  const took = (performance.now() - began) / 1000;
  const used = process.cpuUsage(before.own);
  results[on ? "with" : "without"].push({
    server: (cpuSeconds(server.pid) - before.server) / took,
    own: (used.user + used.system) / 1e6 / took,
    rows: ((await rows()) - before.rows) / (took / 60),
    bytes: got.bytes / took,
  });
  control.abort();
}
for (const [what, of] of Object.entries(results)) {
  console.log(
    `${what} ${clients} clients: ${shown(of.map((one) => one.rows), 1)} stages a minute, the server's CPU ${shown(of.map((one) => 1000 * one.server), 2)} ms a second, ` +
      `the clients' ${shown(of.map((one) => 1000 * one.own), 1)} ms, ${(mean(of.map((one) => one.bytes)) / 1024).toFixed(1)} KiB a second`,
  );
}
const taken = results.with.map((one, i) => (100 * (one.server - results.without[i].server)) / cpus().length);
const ratio = results.with.map((one, i) => one.rows / Math.max(1e-9, results.without[i].rows));
console.log(`the clients take ${shown(taken, 3)} % of ${cpus().length} cores from the search; stages a minute, with over without: ${shown(ratio, 3)} (${turns} pairs of ${seconds} s)`);
search.kill("SIGKILL");
await end(server);
await cleanUp();
