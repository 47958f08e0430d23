/* The four tiles on top: a number that is now, and how it was in the last hour, or for as long as anything is known. */

import { decimal, duration, make, percent, setText } from "./page.js";
import { Chart, scaleEnd } from "./dashboard_charts.js";

const HEIGHT = 46, LEAST_RATE = 10, LEAST_COUNT = 4;
const peakOf = (points) => points.reduce((most, [, value]) => Math.max(most, value || 0), 0);

class Tile {
  constructor(label, lines, marks = 0) {
    this.label = label;
    this.value = make("span", { class: "value" }, "-");
    this.unit = make("span", { class: "unit dim" });
    this.peak = make("span", { class: "dim peak" });
    this.chart = new Chart(HEIGHT, lines, marks);
    this.element = make("div", { class: "card tile number" }, make("h2", { class: "dim" }, label),
      make("p", {}, this.value, this.unit, this.peak), this.chart.element);
  }

  draw(value, unit, peak, chart) {
    setText(this.value, value);
    setText(this.unit, unit);
    setText(this.peak, peak);
    this.chart.draw({ ...chart, words: `${this.label}: ${value}${unit}; ${peak}` });
  }
}

export class Tiles {
  constructor(place) {
    this.rate = new Tile("Tokens per second", ["one"]);
    this.work = new Tile("Running + waiting", ["one", "two"]);
    this.asked = new Tile("Requests per minute", ["one"]);
    this.used = new Tile("Memory used", ["one"], 2);
    place.replaceChildren(...[this.rate, this.work, this.asked, this.used].map((tile) => tile.element));
  }

  draw(past, limits, span_s) {
    const known_s = past.known_s(span_s), to_s = past.now_s();
    const time = { from_s: to_s - known_s, to_s, step_s: past.step_s };
    const inTime = `in ${duration(known_s)}`;
    const rates = past.series("tokens_per_s", known_s), most = peakOf(rates);
    this.rate.draw(decimal(past.last("tokens_per_s")), "", `peak ${decimal(most)} ${inTime}`,
      { ...time, series: [rates], end: scaleEnd(most, LEAST_RATE) });

    const running = past.series("running", known_s), queued = past.series("queued", known_s);
    const longest = Math.max(peakOf(queued), peakOf(running));
    this.work.draw(decimal(past.last("running")), ` + ${decimal(past.last("queued"))}`,
      `peak ${peakOf(running)} + ${peakOf(queued)}`,
      { ...time, series: [running, queued], end: scaleEnd(longest, LEAST_COUNT) });

    const asked = past.perMinute("admitted", known_s), busiest = peakOf(asked);
    this.asked.draw(decimal(asked.length ? asked.at(-1)[1] : null), "", `peak ${decimal(busiest)} ${inTime}`,
      { ...time, series: [asked], end: scaleEnd(busiest, LEAST_COUNT) });

    const used = past.series("used_percent", known_s);
    this.used.draw(percent(past.last("used_percent")), "", `peak ${percent(peakOf(used))}`,
      { ...time, series: [used], end: 100, marks: [limits.warning_percent, limits.critical_percent] });
  }
}
