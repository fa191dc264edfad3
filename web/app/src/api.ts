// What the server answers (web/openapi.json), and how to ask it.
import { fromReport, report } from "./report";

export interface Interval {
  value: number;
  lo: number;
  hi: number;
}

export type Verdict = "pass" | "fail" | "pruned" | "timeout" | "error";
export type Keeps = "dense" | "kept" | "undecided" | "lost";

export interface Run {
  id: number;
  name: string;
  state: string; // running, finished, interrupted, failed, cut off
  started: number;
  ended: number;
  seconds_used: number;
  seconds_limit: number;
  proposer: string;
  model: string;
  task: string;
  problems: number;
  speed_is: string; // measured, modelled
  margin: number; // of accuracy that may be lost
}

export interface FrontMember {
  candidate: number;
  origin: string;
  made_by: string;
  rationale: string;
  accuracy: Interval;
  ceiling: Interval | null; // of the pages with the largest true attention at the same budget
  speed: Interval;
  tokens_per_s: Interval | null;
  confirmed: Interval | null;
  difference: Interval | null; // of accuracy, paired with dense attention
  shrunk: Interval | null; // that, drawn towards the mean of all candidates
  front_probability: number;
  keeps: Keeps;
  found_seconds: number | null;
}

export interface Best {
  candidate: number;
  speed: Interval;
  accuracy: Interval;
  dense_accuracy: Interval;
  difference: Interval;
  confirmed: Interval | null;
}

export interface Points {
  candidate: number[];
  speed: number[];
  accuracy: number[];
}

export interface ProgressStep {
  seconds: number;
  evaluated: number;
  candidate: number;
  best_speed: number;
  hypervolume: number;
}

export interface FunnelStage {
  stage: string;
  verdicts: Partial<Record<Verdict, number>>;
}

export interface Spent {
  what: string;
  used: number;
  limit: number;
}

export interface Running {
  candidate: number;
  origin: string;
  stage: string;
  since: number;
}

export interface RunEvent {
  id: number;
  created: number;
  kind: string;
  detail: unknown;
}

export interface Request {
  id: number;
  kind: string;
  candidate: number;
  created: number;
  state: string; // waiting, taken, done, refused
  taken: number;
  ended: number;
  result: string;
}

export interface Counts {
  candidates: number;
  evaluated: number;
  passed: number;
  confirmed: number;
  retests: number;
}

export interface Origin {
  origin: string;
  proposed: number;
  passed: number;
  on_front: number;
}

// An overview, or what of it changed since a cursor: sections that are absent did not change.
export interface Overview {
  cursor: string;
  run: Run;
  reading: { done: number; all: boolean }; // a large run is read in parts
  counts: Counts;
  front: FrontMember[];
  best: Best | null;
  doubts: { no_claim: string; baseline: string }; // sentences; empty where there is nothing to doubt
  hypervolume: Interval | null;
  progress: ProgressStep[];
  stages: string[]; // all of the ladder
  funnel: FunnelStage[];
  origins: Origin[];
  spent: Spent[];
  now: Running[];
  requests: Request[];
  marks: { candidate: number; starred: boolean; hidden: boolean }[];
  events: RunEvent[];
  points: Points; // of what passed; in a delta: those that are new or moved
  gone?: number[]; // points that are none any more
}
export type Delta = Partial<Overview> & { cursor: string };

export interface CandidateRow {
  candidate: number;
  batch: number;
  origin: string;
  arm: string;
  state: string;
  verdict: string;
  stage: string; // the last one
  why: string; // first line of the message, where it did not pass
  accuracy: number | null;
  speed: number | null;
  seconds: number;
  made_by: string;
  on_front: boolean;
  starred: boolean;
  hidden: boolean;
}

export interface CandidateList {
  total: number;
  items: CandidateRow[];
}

export interface Metric {
  name: string;
  value: number;
  lo: number;
  hi: number;
  unit: string;
}

export interface Stage {
  id: number;
  attempt: number;
  stage: string;
  verdict: Verdict;
  blame: string;
  message: string;
  seconds: number;
  planned_seconds: number | null; // what the worker said beforehand that it should cost
  limit_seconds: number;
  created: number;
  metrics: Metric[];
  evidence: Record<string, unknown>;
  log_tail: string;
}

export interface OutcomeRow {
  stage: string;
  attempt: number;
  problem: string;
  trial: number;
  correct: boolean;
  dense_correct: boolean | null;
  tokens: number;
  extracted: string;
  rule: string;
}

export interface Relative {
  candidate: number;
  operation: string;
  origin: string;
  verdict: string;
}

export interface Call {
  id: number;
  purpose: string;
  model: string;
  state: string;
  finish: string;
  message: string;
  input_tokens: number;
  output_tokens: number;
  dollars: number;
  seconds: number;
  draw: number;
}

export interface GraphNode {
  title: string;
  detail: string;
  kind: string; // leaf, row, page, root
  inputs: number[];
}
export interface GraphSide {
  side: string;
  nodes: GraphNode[];
}

export interface Files {
  module: string;
  config: string;
}

export interface Note {
  candidate: number;
  text: string;
}

// Of one decode step of one request, by the limit model.
export interface Cost {
  context_tokens: number;
  pages: number;
  selected_pages: number;
  dense_bytes: number;
  policy_bytes: number;
  summary_bytes: number;
}

export interface Candidate {
  run: Run;
  candidate: number;
  batch: number;
  slot: number;
  draw: number;
  origin: string;
  arm: string;
  state: string;
  verdict: string;
  rationale: string;
  key: string;
  program_hash: string;
  files: Files;
  parents: (Relative & { files: Files })[];
  children: Relative[];
  front: FrontMember | null;
  difference: Interval | null;
  stages: Stage[];
  outcomes: OutcomeRow[];
  mass_per_layer: number[];
  graph: GraphSide[];
  graph_problem: string;
  formulas: string;
  cost: Cost | null;
  calls: Call[];
  notes: NotebookEntry[];
  mark: { starred: boolean; hidden: boolean; note: string };
  requests: Request[];
  commands: { name: string; command: string }[];
}

export interface NotebookEntry {
  kind: string;
  text: string;
  batch: number;
  candidate: number;
  verdict: string;
  reason: string;
  prediction: { metric?: string; direction?: string; by?: number; against?: number };
  effect?: Interval;
}

export interface Failure {
  stage: string;
  verdict: string;
  blame: string;
  cause: string;
  count: number;
  example: number;
  message: string;
}

export interface LineageData {
  candidate: number[];
  batch: number[];
  outcome: string[]; // dense, front, passed, or the verdict
  origin: string[];
  edges: [number, number, string][]; // child, parent, operation
}

export interface Diversity {
  candidates: number[];
  names: string[];
  on_front: boolean[];
  matrix: number[]; // row-major
  order: number[]; // neighbours beside each other
  position: [number, number][]; // a map of structures: near ones are alike
  mean: number;
  left_out: number;
}

export interface ComparedCandidate {
  candidate: number;
  origin: string;
  rationale: string;
  verdict: string;
  accuracy: Interval | null;
  speed: Interval | null;
  tokens_per_s: Interval | null;
  mass_recall: Interval | null;
  confirmed: Interval | null;
  difference: Interval | null; // paired, to the first of the list
  flips: { problem: string; trial: number; first: boolean; this: boolean }[];
  files: Files;
}

export interface RunRow extends Run {
  candidates: number;
  verdicts: Record<string, number>;
  front: number | null;
  best_speed: number | null;
  best_candidate: number | null;
  hypervolume: number | null;
  dollars: number;
}

export interface Environment {
  options: Record<string, unknown>;
  evidence: Record<string, unknown>;
  program: { version: string; schema: number; workspace: string };
  faults: RunEvent[];
}

export interface About {
  version: string;
  actions: boolean;
  newest: string;
  runs: string[]; // names, the newest first
  vortex: string; // how this program is called, with {} where its arguments belong
}

export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly hint: string,
  ) {
    super(message);
  }
}

// What the search came to, in words: what is nowhere else on the page.
export interface Brief {
  themes: string[]; // what to try next, and why
  arms: { verdict: string; matched: number; search: number; control: number; difference: number; p: number } | null;
  no_arms: string;
  machine: string; // faults, throttling; empty where there was nothing
  stages: { stage: string; seconds: number }[];
  lineage: string; // what led to the front
  commands: { name: string; command: string }[];
}

async function answer<T>(response: Response): Promise<T> {
  if (response.ok) return (await response.json()) as T;
  let message = `the server answered ${response.status}`;
  let hint = "";
  try {
    const body = (await response.json()) as { error?: string; hint?: string };
    message = body.error ?? message;
    hint = body.hint ?? "";
  } catch {
    // not JSON: the status has to do
  }
  throw new ApiError(response.status, message, hint);
}

export async function get<T>(path: string): Promise<T> {
  if (report) return fromReport<T>(report, path);
  return answer<T>(await fetch(`/api/${path}`, { headers: { Accept: "application/json" } }));
}

export async function post<T>(path: string, body: unknown): Promise<T> {
  const response = await fetch(`/api/${path}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  return answer<T>(response);
}
