import type { FunnelStage, Verdict } from "../api";
import { count } from "../format";

// What became of all proposals, stage by stage: bars of one scale, what passed dark, what ended there beside it.

export const verdicts: Verdict[] = ["pass", "fail", "pruned", "timeout", "error"];

export function Funnel({ stages }: { stages: FunnelStage[] }) {
  const total = (stage: FunnelStage): number => verdicts.reduce((sum, verdict) => sum + (stage.verdicts[verdict] ?? 0), 0);
  const most = Math.max(1, ...stages.map(total));
  return (
    <div class="funnel">
      {stages.map((stage) => {
        const passed = stage.verdicts.pass ?? 0;
        const ended = verdicts.filter((verdict) => verdict !== "pass" && stage.verdicts[verdict]);
        return (
          <div class="funnel-row" key={stage.stage}>
            <span class="funnel-name">{stage.stage}</span>
            <span class="funnel-bar" aria-hidden="true">
              <span class="f-pass" style={{ width: `${(100 * passed) / most}%` }} />
              {ended.map((verdict) => (
                <span key={verdict} class={`f-end f-${verdict}`} style={{ width: `${(100 * stage.verdicts[verdict]!) / most}%` }} />
              ))}
            </span>
            <span class="funnel-text">
              <b>{count(passed)}</b> passed
              {ended.map((verdict) => (
                <span key={verdict}>
                  , {count(stage.verdicts[verdict]!)} {verdict === "fail" ? "failed" : verdict === "error" ? (stage.verdicts[verdict] === 1 ? "error" : "errors") : verdict === "timeout" ? "timed out" : verdict}
                </span>
              ))}
            </span>
          </div>
        );
      })}
    </div>
  );
}
