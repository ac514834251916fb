// Plots of numbers: lines and bars as SVG. Each has its numbers as a table too, for those who do not see it.
import { html, useLayoutEffect, useRef, useState } from "../html.js";
import { number, t } from "../words.js";

const EDGE = { top: 10, right: 14, bottom: 28, left: 52 }; // pixels around the area of a plot
const LEAST_WIDTH = 240;

// The width of an element in pixels, which changes with the window.
function useWidth(element) {
  const [width, setWidth] = useState(640);
  useLayoutEffect(() => {
    const measure = () => setWidth(Math.max(LEAST_WIDTH, Math.floor(element.current.clientWidth)));
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element.current);
    return () => observer.disconnect();
  }, []);
  return width;
}

// Round numbers from `low` to `high`, about `count` of them.
export function ticks(low, high, count = 5) {
  const range = high - low || Math.abs(high) || 1;
  const power = 10 ** Math.floor(Math.log10(range / count));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => range / size <= count);
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, index) => Number(((first + index) * step).toPrecision(12)));
}

const short = (value) => number(value, { notation: Math.abs(value) >= 10_000 ? "compact" : "standard", maximumFractionDigits: Math.abs(value) < 10 ? 3 : 1 });

// Maps values from `low` to `high` onto pixels from `from` to `to`.
const scaleOf = (low, high, from, to) => (value) => from + ((value - low) / (high - low || 1)) * (to - from);

function Frame({ width, height, yTicks, yScale, children }) {
  return html`${yTicks.map((value) => html`<g key=${value}>
      <line class="grid" x1=${EDGE.left} x2=${width - EDGE.right} y1=${yScale(value)} y2=${yScale(value)} />
      <text class="axis" x=${EDGE.left - 6} y=${yScale(value)} dy="0.32em" text-anchor="end">${short(value)}</text></g>`)}
    <line class="base" x1=${EDGE.left} x2=${width - EDGE.right} y1=${height - EDGE.bottom} y2=${height - EDGE.bottom} />
    ${children}`;
}

function Legend({ names }) {
  return html`<ul class="legend">${names.map((name, index) => html`<li key=${name}><span class=${`swatch c${index}`}></span>${name}</li>`)}</ul>`;
}

function Numbers({ label, head, rows }) {
  return html`<details><summary>${t("common.asTable")}</summary><div class="scroll plot-table" tabindex="0" role="region" aria-label=${label}><table>
    <caption class="hidden">${label}</caption>
    <thead><tr>${head.map((name, index) => html`<th key=${name} scope="col" class=${index ? "number" : ""}>${name}</th>`)}</tr></thead>
    <tbody>${rows.map((row) => html`<tr key=${row[0]}>${row.map((value, index) => html`<td key=${index} class=${index ? "number" : ""}>${value}</td>`)}</tr>`)}</tbody>
  </table></div></details>`;
}

const told = (value) => (value === undefined || value === null ? "–" : number(value, { maximumFractionDigits: 4 }));

// Lines over a common axis. series: [{name, points: [[x, y], ...]}]; a single point is a dot. xMax: where the axis ends that begins at 0. label: what it shows; hint: stands below
// until something is pointed at.
export function LineChart({ label, xLabel, hint, series, height = 220, yMin, yMax, xMax }) {
  const box = useRef(null), width = useWidth(box), [near, setNear] = useState(null);
  const shown = series.filter(({ points }) => points.length);
  const all = shown.flatMap(({ points }) => points);
  const xs = [...new Set(all.map(([x]) => x))].sort((a, b) => a - b), ys = all.map(([, y]) => y);
  if (!all.length) return html`<div class="plot" ref=${box}></div>`;
  const low = yMin ?? Math.min(...ys), high = yMax ?? Math.max(...ys), margin = (high - low || Math.abs(high) || 1) * 0.06;
  const [left, right] = xMax === undefined ? [xs[0], xs.at(-1)] : [0, Math.max(xMax, xs.at(-1))];
  const x = scaleOf(left, right, EDGE.left + 6, width - EDGE.right - 6);
  const y = scaleOf(yMin ?? low - margin, yMax ?? high + margin, height - EDGE.bottom, EDGE.top);
  const at = (points, step) => points.find(([other]) => other === step)?.[1];
  const point = (event) => {
    const at = event.clientX - event.currentTarget.getBoundingClientRect().left;
    setNear(xs.reduce((best, step) => (Math.abs(x(step) - at) < Math.abs(x(best) - at) ? step : best)));
  };
  const facts = near === null ? null : shown.filter(({ points }) => at(points, near) !== undefined).map(({ name, points }) => `${name} ${told(at(points, near))}`).join(" · ");
  return html`<figure class="plot" ref=${box}>
    <${Legend} names=${series.map(({ name }) => name)} />
    <svg width=${width} height=${height} role="img" aria-label=${label} onPointerMove=${point} onPointerLeave=${() => setNear(null)}>
      <${Frame} width=${width} height=${height} yTicks=${ticks(yMin ?? low, yMax ?? high)} yScale=${y}>
        ${ticks(left, right, 5).filter(Number.isInteger).map((value) => html`<text key=${value} class="axis" x=${x(value)} y=${height - 10} text-anchor="middle">${short(value)}</text>`)}
        ${near !== null && html`<line class="near" x1=${x(near)} x2=${x(near)} y1=${EDGE.top} y2=${height - EDGE.bottom} />`}
        ${series.map(({ name, points }, index) => html`<g key=${name} class=${`c${index}`}>
          <polyline points=${points.map(([px, py]) => `${x(px)},${y(py)}`).join(" ")} />
          ${points.length <= 40 && points.map(([px, py]) => html`<circle key=${px} cx=${x(px)} cy=${y(py)} r="3" />`)}</g>`)}
      </${Frame}>
    </svg>
    <figcaption class="help">${facts === null ? hint : `${xLabel} ${number(near)} · ${facts}`}</figcaption>
    <${Numbers} label=${label} head=${[xLabel, ...series.map(({ name }) => name)]} rows=${xs.map((step) => [number(step), ...series.map(({ points }) => told(at(points, step)))])} />
  </figure>`;
}

// Bars one on top of the other. bars: [{name, values: a number for each of `series`}]; series: names.
export function BarChart({ label, xLabel, hint, series, bars, height = 220 }) {
  const box = useRef(null), width = useWidth(box), [near, setNear] = useState(null);
  const sums = bars.map(({ values }) => values.reduce((sum, value) => sum + value, 0)), most = Math.max(1, ...sums);
  const y = scaleOf(0, most * 1.04, height - EDGE.bottom, EDGE.top);
  const room = (width - EDGE.left - EDGE.right) / Math.max(1, bars.length), thick = Math.max(2, Math.min(44, room * 0.72));
  const labelled = Math.ceil(56 / room); // every so many bars, so that names do not touch
  const left = (index) => EDGE.left + room * (index + 0.5) - thick / 2;
  const parts = (values) => values.map((value, at) => [value, values.slice(0, at).reduce((sum, other) => sum + other, 0)]);
  const facts = near === null ? null : `${bars[near].name} · ${series.map((name, at) => `${name} ${told(bars[near].values[at])}`).join(" · ")}`;
  return html`<figure class="plot" ref=${box}>
    ${series.length > 1 && html`<${Legend} names=${series} />`}
    <svg width=${width} height=${height} role="img" aria-label=${label} onPointerLeave=${() => setNear(null)}>
      <${Frame} width=${width} height=${height} yTicks=${ticks(0, most).filter(Number.isInteger)} yScale=${y}>
        ${bars.map(({ name, values }, index) => html`<g key=${name} onPointerEnter=${() => setNear(index)}>
          <rect class="room" x=${EDGE.left + room * index} y=${EDGE.top} width=${room} height=${height - EDGE.top - EDGE.bottom} />
          ${parts(values).map(([value, below], at) => value > 0 && html`<rect key=${at} class=${`c${at}`} x=${left(index)} width=${thick}
            y=${y(below + value)} height=${Math.max(1, y(below) - y(below + value))} />`)}
          ${(bars.length - 1 - index) % labelled === 0 && html`<text class="axis" x=${left(index) + thick / 2} y=${height - 10} text-anchor="middle">${name}</text>`}
        </g>`)}
      </${Frame}>
    </svg>
    <figcaption class="help">${facts ?? hint}</figcaption>
    <${Numbers} label=${label} head=${[xLabel, ...series]} rows=${bars.map(({ name, values }) => [name, ...values.map(told)])} />
  </figure>`;
}
