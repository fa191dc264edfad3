import type { ProgressStep } from "../api";
import { duration, fixed } from "../format";
import { niceScale } from "./scale";
import { useWidth } from "./size";

// Two quantities over time as steps, one above the other on the same axis of time: they share no scale.

const kLeft = 48;
const kRight = 16;
const kPanel = 112;
const kGap = 30;
const kTop = 22;

export function ProgressPlot({ steps, seconds }: { steps: ProgressStep[]; seconds: number }) {
  const [box, width] = useWidth(480);
  const height = kTop + 2 * kPanel + kGap + 26;
  const x = niceScale(0, Math.max(seconds, 1), kLeft, width - kRight, width < 420 ? 3 : 5);
  const at = (value: number): number => kLeft + (Math.min(value, seconds) / Math.max(seconds, 1)) * (width - kLeft - kRight);
  const panels = [
    { name: "fastest on the front, over dense", value: (s: ProgressStep) => s.best_speed, style: "line-speed", unit: "×" },
    { name: "hypervolume", value: (s: ProgressStep) => s.hypervolume, style: "line-volume", unit: "" },
  ];
  const ticks = x.ticks.filter((tick) => tick <= seconds);
  return (
    <div class="plot" ref={box}>
      <svg width={width} height={height} role="img" aria-label="The fastest member of the front and the hypervolume over time">
        {panels.map((panel, i) => {
          const top = kTop + i * (kPanel + kGap);
          const values = steps.map(panel.value);
          const lo = Math.min(...values, 1);
          const y = niceScale(lo, Math.max(...values, lo), top + kPanel, top, 3);
          let path = "";
          steps.forEach((step, k) => {
            const py = y.at(panel.value(step)).toFixed(1);
            path += k === 0 ? `M${at(step.seconds).toFixed(1)} ${py}` : `H${at(step.seconds).toFixed(1)}V${py}`;
          });
          if (path !== "") path += `H${at(seconds).toFixed(1)}`;
          return (
            <g key={panel.name}>
              <text class="axis-name" x={kLeft} y={top - 8}>
                {panel.name}
              </text>
              {y.ticks.map((tick) => (
                <g key={tick}>
                  <line class="grid" x1={kLeft} x2={width - kRight} y1={y.at(tick)} y2={y.at(tick)} />
                  <text class="tick" x={kLeft - 8} y={y.at(tick) + 4} text-anchor="end">
                    {fixed(tick, Math.max(1, y.digits))}
                    {panel.unit}
                  </text>
                </g>
              ))}
              <path class={panel.style} d={path} />
            </g>
          );
        })}
        {ticks.map((tick) => (
          <text key={tick} class="tick" x={at(tick)} y={height - 6} text-anchor={tick === 0 ? "start" : "middle"}>
            {tick === 0 ? "start" : duration(tick)}
          </text>
        ))}
      </svg>
    </div>
  );
}
