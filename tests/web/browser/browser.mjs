// The dashboard in a real browser: every view on a recorded run and on a made-up one, live changes, filters, hostile
// texts, a server that comes back, keys, accessibility. usage: node browser.mjs VORTEX SYNTHETIC_RUN SOURCE_DIR
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import http from "node:http";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { axe, browse, check, cleanUp, end, finish, folder, makeRun, open, serve, shots, sourceDir, startRun, until, vortex } from "./harness.mjs";
import { hostile } from "./hostile.mjs";
import { answerSchema, problems } from "./openapi.mjs";

const api = JSON.parse(readFileSync(join(sourceDir, "web/openapi.json"), "utf8"));
const recorded = join(sourceDir, "tests/cases/web/recorded");

const ask = (server, path, init = {}) => fetch(server.base + path, init);
const answer = async (server, path) => (await ask(server, path)).json();
const withToken = (server, body) => ({
  method: "POST",
  headers: { "Content-Type": "application/json", Authorization: `Bearer ${server.token}` },
  body: JSON.stringify(body),
});

function raw(server, { method = "GET", path = "/", headers = {} }) {
  return new Promise((resolve, reject) => {
    const request = http.request({ host: "127.0.0.1", port: server.port, method, path, headers, setHost: !headers.Host }, (response) => {
      let text = "";
      response.on("data", (data) => (text += data));
      response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, text }));
    });
    request.on("error", reject);
    request.end();
  });
}

// The views of a run with a text that shows that they are there, and candidates worth opening.
async function viewsOf(server, run) {
  const overview = await answer(server, `/api/runs/${run}/overview`);
  const passed = (await answer(server, `/api/runs/${run}/candidates?verdict=pass&sort=-speed`)).items.filter((row) => row.origin !== "dense");
  const ids = [overview.front[0].candidate, passed[0].candidate];
  const best = overview.best?.candidate ?? passed[0].candidate;
  return {
    overview,
    best,
    views: {
      overview: [`/r/${run}`, "The front"],
      candidate: [`/c/${best}`, "Source"],
      lineage: [`/r/${run}/lineage`, "Who came from whom"],
      diversity: [`/r/${run}/diversity`, "Distances"],
      compare: [`/compare?c=${ids.join(",")}`, "What differs"],
      notebook: [`/r/${run}/notebook`, "Notebook"],
      failures: [`/r/${run}/failures`, "Failures"],
      runs: [`/runs`, "All searches"],
      environment: [`/r/${run}/environment`, "What it ran on"],
      brief: [`/r/${run}/brief`, "What to try next"],
    },
  };
}

async function testViews(browser, server, run, label, shoot) {
  const { views } = await viewsOf(server, run);
  const excess = (page) => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  for (const width of [1280, 390]) {
    for (const dark of [false, true]) {
      const page = await open(browser, server, { width, dark });
      for (const [name, [path, text]] of Object.entries(views)) {
        const what = `${label} ${name} at ${width}${dark ? " dark" : ""}`;
        await page.goto(server.base + path);
        await page.getByText(text, { exact: false }).first().waitFor();
        await page.locator("main .quiet[role=status]", { hasText: "…" }).waitFor({ state: "detached" });
        const wide = await excess(page);
        check(wide <= 0, `${what}: wider than the window by ${wide} pixels`);
        if (width === 390 && !dark) {  // and the smallest that WCAG asks for
          const size = page.viewportSize();
          await page.setViewportSize({ width: 320, height: size.height });
          const fits = () => document.documentElement.scrollWidth <= document.documentElement.clientWidth;
          await page.waitForFunction(fits, null, { timeout: 10_000 }).catch(() => {});  // plots are drawn anew first
          const narrow = await excess(page);
          check(narrow <= 0, `${what}, made 320 wide: wider than the window by ${narrow} pixels`);
          await page.setViewportSize(size);
        }
        const found = await axe(page);
        check(found.length === 0, `${what}: ${found.join(" | ")}`);
        if (shoot && shots) {
          mkdirSync(shots, { recursive: true });
          await page.screenshot({ path: join(shots, `${name}-${width}-${dark ? "dark" : "light"}.png`), fullPage: true });
        }
      }
      check(page.problems.length === 0, `${label} at ${width}${dark ? " dark" : ""}: ${page.problems.join(" | ")}`);
      await page.context().close();
    }
  }
}

// The walk of somebody who has not seen the project: what is fastest, why, where from, and how to take it away.
async function testWalk(browser, server, run) {
  const { overview, best } = await viewsOf(server, run);
  const page = await open(browser, server);
  await page.goto(`${server.base}/r/${run}`);
  const claim = await page.locator(".headline").innerText();
  check(/keeps its accuracy within \d+ points/.test(claim) && /held-out problems.*differ by [-−+]?\d/s.test(claim), `what is claimed stands beside its evidence: ${claim}`);
  await page.locator(".headline .lead a").click();
  await page.waitForURL(`**/c/${best}`);
  await page.getByRole("heading", { name: `Candidate ${best}` }).waitFor();
  const why = await page.locator(".why").innerText();
  check(/Why it is faster\. At [\d,]+ tokens a step attends [\d,]+ of [\d,]+ pages.*: [\d.]+ times less/s.test(why), `why it is faster: ${why}`);
  const commands = await page.locator(".command code").allTextContents();
  const exports = commands.find((text) => text.includes(`export ${best} --to vortex-torch`));
  check(exports !== undefined && !exports.includes("--unconfirmed"), `the export command of what is claimed, on the candidate's page: ${exports}`);
  for (const command of await page.locator(".command").all()) {
    const [code, button] = [await command.locator("code").boundingBox(), await command.getByRole("button").boundingBox()];
    check(button.y < code.y + code.height, "a command's button stands beside it");
  }
  const shown = commands.find((text) => / show /.test(text)).replace(/^\S+/, vortex);
  check(spawnSync("bash", ["-c", shown], { cwd: sourceDir }).status === 0, `a command that is copied does what it says: ${shown}`);
  const parents = (await answer(server, `/api/candidates/${best}`)).parents;
  if (parents.length > 0) {
    await page.getByRole("tab", { name: `diff to ${parents[0].candidate}` }).click();
    check(page.url().includes("source=from-"), "the chosen tab is in the address");
    await page.locator(".diff").first().waitFor();
    await page.locator("section", { hasText: "Family" }).getByRole("link", { name: `#${parents[0].candidate}`, exact: true }).first().click();
    await page.waitForURL(`**/c/${parents[0].candidate}`);
    await page.goBack();
    await page.waitForURL(`**/c/${best}**`);
  }
  check(overview.best !== null, "there is a best candidate to find");
  const planned = page.locator("section[aria-labelledby=stages-title] tbody tr", { hasText: "race" }).first();
  check(/\d\.\d\d/.test(await planned.locator("td").nth(3).innerText()), "seconds planned stand beside seconds spent");
  await page.goto(`${server.base}/r/${run}`);
  await page.locator("a.member").first().waitFor();
  const known = overview.front.filter((member) => member.ceiling !== null).length;
  check(known > 0 && (await page.locator("figure svg .oracle-tick").count()) === known + 1, "the oracle's accuracy at a member's budget is a mark above it");
  await page.context().close();
}

// The command that a candidate's page gives takes the policy away, also one that nothing was claimed of.
async function testExport(browser, server, run) {
  const { best } = await viewsOf(server, run);
  const page = await open(browser, server);
  await page.goto(`${server.base}/c/${best}`);
  await page.locator(".command", { hasText: "export" }).getByRole("button", { name: "Copy" }).click();
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  const taken = join(folder(), "winner");
  const done = spawnSync("bash", ["-c", copied.replace(/^\S+/, vortex).replace("winner/", taken)], { cwd: sourceDir, encoding: "utf8" });
  check(done.status === 0 && readdirSync(taken).some((name) => name.endsWith(".py")), `the export command exports: ${copied}: ${done.stderr}`);
  await page.context().close();
}

// Addresses that somebody typed, and the choice of a search on pages that belong to none.
async function testAddresses(browser, server, run) {
  const page = await open(browser, server);
  for (const path of ["/c/abc", "/c/", "/c/2x", "/zzz"]) {
    await page.goto(server.base + path);
    await page.getByText("There is no page of this name.").waitFor();
  }
  const other = (await answer(server, "/api/about")).runs.find((name) => name !== run);
  await page.goto(server.base + (await viewsOf(server, other)).views.compare[0]);
  await until("what is compared names its search", async () => (await page.locator(".run-choice select").inputValue()) === other);
  for (const path of ["/compare", "/runs"]) {
    await page.goto(server.base + path);
    const choice = page.locator(".run-choice select");
    await choice.selectOption((await choice.inputValue()) === run ? other : run);
    await page.waitForURL("**/r/*");
    await page.getByText("The front", { exact: true }).first().waitFor();
  }
  await page.context().close();
}

async function testFilters(browser, server, run) {
  const page = await open(browser, server);
  await page.goto(`${server.base}/r/${run}`);
  await page.locator("form.filters select").first().selectOption("fail");
  await until("the filter's rows", async () => {
    const verdicts = await page.locator("section[aria-labelledby=all-title] tbody .verdict").allTextContents();
    return verdicts.length > 0 && verdicts.every((text) => text.includes("fail"));
  });
  check(new URL(page.url()).searchParams.get("verdict") === "fail", "the filter is in the address");
  await page.reload();
  await page.locator("section[aria-labelledby=all-title] tbody tr").first().waitFor();
  check((await page.locator("form.filters select").first().inputValue()) === "fail", "a filter lives through a reload");
  await page.getByRole("button", { name: "seconds", exact: false }).last().click();
  await until("sorting in the address", async () => (new URL(page.url()).searchParams.get("sort") ?? "").includes("seconds"));
  await page.locator("section[aria-labelledby=all-title]").getByRole("button", { name: "Copy as CSV" }).click();
  const csv = await page.evaluate(() => navigator.clipboard.readText());
  check(csv.startsWith("candidate,verdict,stage,speed"), `the table is copied as CSV: ${csv.slice(0, 60)}`);
  await page.context().close();
}

async function testKeys(browser, server, run) {
  const page = await open(browser, server);
  await page.goto(`${server.base}/r/${run}`);
  await page.locator("a.member").first().waitFor();
  await page.keyboard.press("Tab");
  check((await page.evaluate(() => document.activeElement.className)) === "skip", "the first stop is the way past the menu");
  await page.locator("a.member").first().focus();
  const first = await page.evaluate(() => document.activeElement.getAttribute("aria-label"));
  await page.keyboard.press("ArrowRight");
  const second = await page.evaluate(() => document.activeElement.getAttribute("aria-label"));
  check(first !== second && second?.includes("accuracy"), "arrow keys move along the front");
  await page.keyboard.press("Enter");
  await page.waitForURL("**/c/*");
  await page.goto(`${server.base}/r/${run}`);
  const sort = page.getByRole("button", { name: "accuracy", exact: false }).last();
  await sort.focus();
  await page.keyboard.press("Enter");
  await until("sorting by keys", async () => (new URL(page.url()).searchParams.get("sort") ?? "").includes("accuracy"));
  await page.context().close();
}

async function testPlotsHaveTables(browser, server, run) {
  const page = await open(browser, server);
  for (const view of ["", "/lineage", "/diversity"]) {
    await page.goto(`${server.base}/r/${run}${view}`);
    await page.locator("figure").first().waitFor();
    for (const figure of await page.locator("figure").all()) {
      await figure.locator("summary", { hasText: "As a table" }).click();
      check((await figure.locator("tbody tr").count()) > 0, `${view || "overview"}: the table of ${await figure.locator("h2").textContent()} has rows`);
      check((await figure.getByRole("button", { name: "Copy as CSV" }).count()) === 1, "and can be copied");
    }
  }
  await page.context().close();
}

// While a search writes, an open page changes without being asked.
async function testLive(browser) {
  const workspace = folder();
  makeRun(workspace, "5", sourceDir, "earlier");
  const search = startRun(workspace, "400", sourceDir, "going-on", "0.08");
  await until("the search starts", () => existsSync(join(workspace, "search.lock")));
  const server = await serve(workspace);
  const page = await open(browser, server);
  await page.goto(`${server.base}/r/going-on`);
  const evaluated = async () => Number((await page.locator(".tiles div", { hasText: "candidates evaluated" }).locator("dd").innerText()).split(" ")[0].replace(",", ""));
  await page.locator(".connection.c-live").waitFor();
  check((await page.locator(".top .state").innerText()) === "running", "the search is shown as running");
  const before = await evaluated();
  await until("more is evaluated", async () => (await evaluated()) > before + 5);
  check((await page.evaluate(() => performance.getEntriesByType("navigation").length)) === 1, "without a new page");

  // A server that goes away and comes back: the page says so, and then misses nothing.
  await end(server);
  await page.locator(".connection.c-waiting").waitFor();
  const again = await serve(workspace, server.port);
  await page.locator(".connection.c-live").waitFor({ timeout: 30_000 });
  const now = await evaluated();
  await until("it goes on", async () => (await evaluated()) > now);

  // What a person asks for is a row.
  await page.goto(again.url);
  await page.goto(`${again.base}/r/going-on`);
  await page.getByRole("button", { name: "Stop softly" }).click();
  await page.getByText("Stopping: it ends when what runs has ended").waitFor();
  const events = (await answer(again, "/api/runs/going-on/overview")).events;
  check(events.some((event) => event.kind === "stop-requested"), "a soft stop is an event that the search reads");

  search.kill("SIGKILL");
  await until("a search that died is called cut off", async () => (await page.locator(".top .state").innerText()) === "cut off");
  check(page.problems.length === 0, `live: ${page.problems.join(" | ")}`);

  const all = await answer(again, "/api/runs/going-on/overview");
  await until("the page ends with what is stored", async () => (await evaluated()) === all.counts.evaluated);
  await page.context().close();
  await end(again);
}

async function testMarks(browser, server, run) {
  const page = await open(browser, server);
  const { best } = await viewsOf(server, run);
  await page.goto(`${server.base}/c/${best}`);
  await page.getByRole("button", { name: "☆ Star" }).click();
  await page.getByRole("button", { name: "★ Starred" }).waitFor();
  await page.getByLabel("Note", { exact: true }).fill("look again <b>tomorrow</b>");
  await page.getByRole("button", { name: "Save note" }).click();
  await page.getByText("Saved.").waitFor();
  await page.reload();
  await page.getByLabel("Note", { exact: true }).waitFor();
  check((await page.getByLabel("Note", { exact: true }).inputValue()) === "look again <b>tomorrow</b>", "a note is kept");
  await page.goto(`${server.base}/r/${run}?verdict=starred`);
  await page.locator("section[aria-labelledby=all-title] .star").first().waitFor();
  await page.context().close();
  const stranger = await open(browser, server, { signedIn: false });
  await stranger.goto(`${server.base}/c/${best}`);
  await stranger.getByRole("button", { name: "★ Starred" }).click();
  await stranger.getByText("this needs the token").waitFor();
  await stranger.context().close();
}

async function testHostile(browser) {
  const workspace = folder();
  makeRun(workspace, "60", sourceDir, "hostile", "0", hostile);
  const server = await serve(workspace);
  const { views } = await viewsOf(server, "hostile");
  const page = await open(browser, server);
  const list = await answer(server, "/api/runs/hostile/candidates?limit=500");
  const one = (verdict) => list.items.find((row) => row.verdict === verdict)?.candidate;
  const more = ["fail", "error", "pruned", "timeout"].map(one).filter(Boolean).map((id) => [`/c/${id}`, "Stages"]);
  for (const [path, text] of [...Object.values(views), ...more]) {
    await page.goto(server.base + path);
    await page.getByText(text).first().waitFor();
    for (const summary of await page.locator("summary").all()) await summary.click().catch(() => {});
    const state = await page.evaluate(() => ({
      ran: window.__xss,
      elements: document.querySelectorAll("main script, main iframe, main img, main style, main object, main embed, [onload], [onerror], [onmouseover]").length,
      links: [...document.querySelectorAll("a")].map((a) => a.getAttribute("href") ?? "").filter((href) => /^\s*javascript:/i.test(href)).length,
    }));
    check(state.ran === undefined, `${path}: a script of a proposal ran (${state.ran})`);
    check(state.elements === 0, `${path}: ${state.elements} elements of a proposal`);
    check(state.links === 0, `${path}: a link of a proposal that runs`);
  }
  await page.goto(`${server.base}${views.candidate[0]}`);
  await page.getByText("<script>window.__xss=1</script>").first().waitFor();
  check((page.dialogs ?? 0) === 0, "no dialog of a proposal");
  const real = page.problems.filter((text) => !text.includes("Content Security Policy"));
  check(real.length === 0, `hostile: ${real.join(" | ")}`);
  check(page.problems.length === 0, "nothing even reached the content policy");
  const file = join(folder(), "report.html");
  spawnSync(vortex, ["report", "--workspace", workspace, "--html", file], { cwd: sourceDir });
  for (const path of [views.candidate[0], "/r/hostile", "/r/hostile/brief"]) {
    await page.goto(`${pathToFileURL(file).href}#${path}`);
    await page.reload();
    await page.locator("main h1, main h2").first().waitFor();
    check((await page.evaluate(() => window.__xss)) === undefined, `a script of a proposal ran in the report: ${path}`);
    check((await page.evaluate(() => document.querySelectorAll("main script, main iframe, main img, [onload], [onerror], body > :not(#app, noscript, script)").length)) === 0, `${path}: the block of data was left`);
  }
  check(page.problems.length === 0, `hostile report: ${page.problems.join(" | ")}`);
  await page.context().close();
  await end(server);
}

const marksOf = (page) =>
  page.evaluate(() =>
    [...document.querySelectorAll("figure svg path, figure svg rect, figure svg circle, figure svg text")].map((one) => {
      const names = ["d", "x", "y", "width", "height", "cx", "cy", "r", "class"];
      return `${one.tagName} ${names.map((name) => one.getAttribute(name) ?? "").join(",")} ${one.textContent}`;
    }),
  );

// The page in one file, opened from disk: the same pictures, every view, nothing asked of anybody.
async function testReport(browser, server, workspace, run) {
  const file = join(folder(), "report.html");
  const made = spawnSync(vortex, ["report", "--workspace", workspace, "--run", run, "--html", file], { encoding: "utf8", cwd: sourceDir });
  check(made.status === 0, `vortex report --html: ${made.stderr}`);
  const base = pathToFileURL(file).href;
  const { overview, best } = await viewsOf(server, run);
  const live = await open(browser, server);
  for (const width of [1280, 390]) {
    for (const dark of [false, true]) {
      const page = await open(browser, { base, url: base }, { width, dark, signedIn: false });
      const asked = [];
      page.on("request", (request) => asked.push(request.url()));
      const views = {
        "": "The front", [`/c/${best}`]: "Source", [`/r/${run}/lineage`]: "Who came from whom", [`/r/${run}/diversity`]: "Distances",
        [`/r/${run}/notebook`]: "Notebook", [`/r/${run}/failures`]: "Failures", [`/r/${run}/environment`]: "What it ran on",
        [`/r/${run}/brief`]: "What to try next",
      };
      for (const [path, text] of Object.entries(views)) {
        const what = `report ${path || "overview"} at ${width}${dark ? " dark" : ""}`;
        await page.goto(path === "" ? base : `${base}#${path}`);
        await page.getByText(text, { exact: false }).first().waitFor();
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        check(wide <= 0, `${what}: wider than the window by ${wide} pixels`);
        const found = await axe(page);
        check(found.length === 0, `${what}: ${found.join(" | ")}`);
        if (width !== 1280 || dark) continue;
        await live.goto(server.base + (path || `/r/${run}`));
        await live.getByText(text, { exact: false }).first().waitFor();
        await live.locator("main .quiet[role=status]", { hasText: "…" }).waitFor({ state: "detached" });  // "Measuring distances …"
        const [here, there] = [await marksOf(page), await marksOf(live)];
        check(here.length === there.length && here.every((mark, i) => mark === there[i]), `${what}: not the pictures of the dashboard`);
      }
      check(asked.every((url) => /^(file|data):/.test(url)), `the report asks for nothing: ${asked.filter((url) => !/^(file|data):/.test(url)).join(" ")}`);
      check(page.problems.length === 0, `report at ${width}: ${page.problems.join(" | ")}`);
      await page.context().close();
    }
  }
  const page = await open(browser, { base, url: base }, { signedIn: false });
  await page.goto(`${base}#/r/%E0%A4%A`);
  await page.reload();
  await page.locator("main").waitFor();
  check(page.problems.length === 0, `an address that is no encoding of anything: ${page.problems.join(" | ")}`);
  await page.goto(base);
  await page.reload();
  await page.locator(".headline .lead a").click();
  await page.getByRole("heading", { name: `Candidate ${best}` }).waitFor();
  check(new URL(page.url()).hash === `#/c/${best}`, "the address behind the # is the state");
  await page.goBack();
  await page.locator("form.filters select").first().selectOption("fail");
  await until("the filter's rows in the report", async () => {
    const verdicts = await page.locator("section[aria-labelledby=all-title] tbody .verdict").allTextContents();
    return verdicts.length > 0 && verdicts.every((text) => text.includes("fail"));
  });
  check((await page.getByText(`${overview.funnel.reduce((sum, one) => sum + (one.verdicts.fail ?? 0), 0)} candidates`).count()) > 0, "all that failed are listed");
  check((await page.getByRole("button", { name: "☆ Star" }).count()) === 0, "a file does not act");
  await page.context().close();
  await live.context().close();
  const bare = await (await browser.newContext({ javaScriptEnabled: false })).newPage();
  await bare.goto(base);
  check((await bare.locator("noscript").innerText()).includes("## The front"), "without JavaScript it has the brief");
  await bare.context().close();
}

// A night that a GPU searched (examples/gpu-night): what is claimed, and views of hundreds of candidates whose texts are
// not there.
async function testNight(browser) {
  const workspace = folder();
  const unpack = "import lzma, shutil, sys; shutil.copyfileobj(lzma.open(sys.argv[1]), open(sys.argv[2], 'wb'))";
  const packed = join(sourceDir, "examples/gpu-night/vortex.db.xz");
  const done = spawnSync("python3", ["-c", unpack, packed, join(workspace, "vortex.db")], { encoding: "utf8" });
  check(done.status === 0, `the night's database is unpacked ${done.stderr}`);
  const server = await serve(workspace);
  const { newest: run } = await answer(server, "/api/about");
  const overview = await answer(server, `/api/runs/${run}/overview`);
  check(overview.best?.candidate === 651 && overview.best.speed.value > 3, "the night has its winner");
  const page = await open(browser, server, { width: 1280 });
  await page.goto(`${server.base}/r/${run}`);
  const sentence = await page.locator(".headline").innerText();
  check(/Candidate 651 decodes 3\.28/.test(sentence), `the first sentence names it: ${sentence}`);
  const shown = { lineage: "Who came from whom", failures: "with the forced right answers", environment: "NVIDIA H200", brief: "What to try next" };
  for (const [view, text] of Object.entries(shown)) {
    await page.goto(`${server.base}/r/${run}/${view}`);
    await page.getByText(text).first().waitFor();
    check(!/misses object/.test(await page.locator("main").innerText()), `${view} needs no texts of policies`);
  }
  await page.goto(`${server.base}/c/651`);
  await page.getByText(/misses object/).first().waitFor();
  check(true, "a policy whose text is not there says so");
  await page.close();
}

async function testApi(server, run) {
  const { best, overview } = await viewsOf(server, run);
  const dense = overview.front[0].candidate;
  for (const path of Object.keys(api.paths)) {
    if (!api.paths[path].get || path.endsWith("/stream") || path.includes("{call}")) continue;
    const real = path.replace("{run}", run).replace("{candidate}", best) + (path === "/api/compare" ? `?candidates=${dense},${best}` : "");
    const response = await ask(server, real);
    check(response.status === 200, `${real}: ${response.status}`);
    const found = problems(await response.json(), answerSchema(api, path), api);
    check(found.length === 0, `${path} is not as described: ${found.join("; ")}`);
  }
  const missing = await ask(server, "/api/candidates/999999");
  check(missing.status === 404 && problems(await missing.json(), api.components.schemas.Error, api).length === 0, "errors are described, too");
}

async function testSafety(server, run) {
  const body = { starred: true, hidden: false, note: "" };
  const json = { "Content-Type": "application/json" };
  check((await ask(server, "/api/candidates/2/mark", { method: "POST", headers: json, body: JSON.stringify(body) })).status === 401, "a write without the token is refused");
  check((await ask(server, "/api/candidates/2/mark", withToken(server, body))).status === 200, "a write with the token is not");
  check((await ask(server, "/api/candidates/2/mark", { ...withToken(server, body), headers: { Authorization: `Bearer ${server.token}`, "Content-Type": "text/plain" } })).status === 415, "a form is no JSON");
  const head = { Host: `127.0.0.1:${server.port}` };
  check((await raw(server, { path: "/api/runs", headers: { Host: `evil.example:${server.port}` } })).status === 421, "another Host is refused");
  check((await raw(server, { path: "/api/runs", headers: { ...head, Origin: "http://evil.example" } })).status === 403, "another Origin is refused");
  check((await raw(server, { path: "/api/runs", headers: head })).status === 200, "our own is not");
  check((await raw(server, { method: "DELETE", path: "/api/runs", headers: head })).status === 405, "other methods are refused");
  check((await raw(server, { path: "/?token=wrong", headers: head })).status === 401, "a wrong token is refused");
  for (const path of ["/..%2f..%2fetc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/api/runs/..%2f..%2fx/overview", "/api/calls/..%2fx"]) {
    const response = await raw(server, { path, headers: head });
    check(!response.text.includes("root:"), `${path} gives no file`);
  }
  const page = await raw(server, { path: "/", headers: head });
  check(page.headers["content-security-policy"]?.startsWith("default-src 'self'"), "the page carries a content policy");
  check(page.headers["x-content-type-options"] === "nosniff", "types are not guessed");
  check(!/https?:\/\//.test(page.text), "the page names no other host");

  // Open streams keep nobody waiting.
  const streams = [];
  for (let i = 0; i < 64; ++i) {
    const control = new AbortController();
    streams.push(control);
    await ask(server, `/api/runs/${run}/stream?cursor=`, { signal: control.signal });
  }
  check((await ask(server, "/api/about")).status === 200, "64 open streams keep nobody waiting");
  for (const control of streams) control.abort();
}

async function main() {
  const browser = await browse();
  const workspace = folder();
  makeRun(workspace, "160", sourceDir, "made-up");
  makeRun(workspace, "6", sourceDir, "beside");
  const server = await serve(workspace);
  await testApi(server, "made-up");
  await testSafety(server, "made-up");
  await testWalk(browser, server, "made-up");
  await testAddresses(browser, server, "made-up");
  await testFilters(browser, server, "made-up");
  await testKeys(browser, server, "made-up");
  await testPlotsHaveTables(browser, server, "made-up");
  await testReport(browser, server, workspace, "made-up");
  await testMarks(browser, server, "made-up");
  await testHostile(browser);
  await testLive(browser);
  await testNight(browser);
  await end(server);

  check(existsSync(recorded), "there is a recorded run");
  const copy = folder();
  cpSync(recorded, copy, { recursive: true });
  const real = await serve(copy);
  const run = (await answer(real, "/api/about")).newest;
  await testViews(browser, real, run, "recorded", true);
  await testApi(real, run);
  await testExport(browser, real, run);
  await end(real);
}

try {
  await main();
} catch (error) {
  check(false, error.stack ?? String(error));
} finally {
  await cleanUp();
}
finish();
