/* Small charts: a line over time, drawn as SVG that stretches with its box. Values in, elements out. */

import { draw, setAttribute } from "./page.js";

const WIDTH = 300, GAP_FACTOR = 2.5;

/* The end of a scale: the next round number that is not below `value`, at least `least`. */
export function scaleEnd(value, least) {
  if (!(value > least)) return least;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 5, 7.5, 10].map((step) => step * power).find((end) => end >= value * 0.9999);
}

/* Runs of points without a gap: a value that is not known, or a time in which nothing was sampled. */
export function runsOf(points, step_s) {
  const runs = [];
  let run = null, before_s = 0;
  for (const [at_s, value] of points) {
    if (value === null || value === undefined) { run = null; continue; }
    if (!run || at_s - before_s > step_s * GAP_FACTOR) runs.push(run = []);
    run.push([at_s, value]);
    before_s = at_s;
  }
  return runs;
}

/* `M x,y L ...` of each run; `base`: closed down to the ground, for an area. */
function pathOf(runs, place, height, base) {
  return runs.map((run) => {
    const spots = run.map(place);
    const line = spots.length > 1 ? spots : [spots[0], [spots[0][0] + 0.6, spots[0][1]]]; // a single point shows too
    const path = `M${line.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join("L")}`;
    return base ? `${path}L${line.at(-1)[0].toFixed(1)},${height}L${line[0][0].toFixed(1)},${height}Z` : path;
  }).join("");
}

/* A chart of one or two lines over the same time and scale. `marks`: levels to draw a line at. */
export class Chart {
  constructor(height, lines, marks = 0) {
    this.height = height;
    this.area = draw("path", { class: "area" });
    this.marks = Array.from({ length: marks }, () => draw("line", { class: "mark", x1: 0, x2: WIDTH }));
    this.lines = lines.map((name) => draw("path", { class: `line ${name}`, "vector-effect": "non-scaling-stroke" }));
    this.element = draw("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${height}`, preserveAspectRatio: "none",
      role: "img" }, this.area, this.marks, this.lines);
  }

  /* `series`: points of each line, [time, value or null]; `end`: the top of the scale; `words` for who cannot see. */
  draw({ series, from_s, to_s, end, step_s, marks = [], words }) {
    const place = ([at_s, value]) => [
      Math.max(0, (at_s - from_s) / (to_s - from_s)) * WIDTH,
      this.height - 1 - Math.min(1, value / end) * (this.height - 3)];
    this.lines.forEach((line, number) => {
      const runs = runsOf(series[number], step_s);
      setAttribute(line, "d", pathOf(runs, place, this.height, false) || null);
      if (!number) setAttribute(this.area, "d", pathOf(runs, place, this.height, true) || null);
    });
    this.marks.forEach((mark, number) => {
      const y = place([from_s, marks[number]])[1].toFixed(1);
      setAttribute(mark, "y1", y);
      setAttribute(mark, "y2", y);
    });
    setAttribute(this.element, "aria-label", words);
  }
}
