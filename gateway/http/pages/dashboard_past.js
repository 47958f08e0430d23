/* The last hour as the page keeps it: rows of numbers by the second, older ones merged into steps, as the server does.

   Bounded by time: SHORT_S by the second, HOUR_S in steps, RATES_MAX values of each model. A row is an object with the
   names of the server's columns; null is "not known". */

const SHORT_S = 300, HOUR_S = 3600, RATES_MAX = 120, MINUTE_S = 60;
const LARGEST = ["used_percent", "held_bytes", "running", "queued"];

export class Past {
  constructor() {
    this.names = [];
    this.step_s = 10;
    this.short = [];
    this.long = [];
    this.rates = new Map(); // key of a model -> its newest tokens per second
  }

  begin(history) {
    this.names = history.names;
    this.step_s = history.step_s;
    this.short = history.short.map((row) => this.#named(row));
    const from = this.short.length ? this.short[0].at_s : Infinity;
    this.long = history.long.map((row) => this.#named(row)).filter((row) => row.at_s < from);
    this.rates = new Map(Object.entries(history.rates));
  }

  /* `models`: of the same reading, null without a table. */
  add(row, models) {
    const sample = this.#named(row);
    while (this.short.length && this.short.at(-1).at_s >= sample.at_s) this.short.pop(); // the clock was set back
    this.short.push(sample);
    while (this.short[0].at_s < sample.at_s - SHORT_S) this.#age(this.short.shift());
    while (this.long.length && this.long[0].at_s < sample.at_s - HOUR_S) this.long.shift();
    for (const model of models || []) {
      const rates = this.rates.get(model.key) || [];
      if (!rates.length && !model.tokens_per_s) continue; // it has never answered here
      rates.push(model.tokens_per_s);
      this.rates.set(model.key, rates.slice(-RATES_MAX));
    }
  }

  #named(row) {
    return Object.fromEntries(this.names.map((name, column) => [name, row[column]]));
  }

  #age(row) {
    const step = this.long.at(-1);
    if (!step || Math.floor(step.at_s / this.step_s) !== Math.floor(row.at_s / this.step_s)) {
      this.long.push({ ...row, count: 1 });
      return;
    }
    const count = (step.count || 1) + 1;
    for (const name of this.names.slice(1)) {
      if (row[name] === null) continue;
      if (step[name] === null) step[name] = row[name];
      else if (LARGEST.includes(name)) step[name] = Math.max(step[name], row[name]);
      else step[name] += name === "admitted" ? row[name] : (row[name] - step[name]) / count;
    }
    step.count = count;
  }

  /* The newest value of a column, null if it is not known. */
  last(name) {
    const row = this.short.at(-1);
    return row && row[name] !== undefined ? row[name] : null;
  }

  now_s() {
    return this.short.length ? this.short.at(-1).at_s : 0;
  }

  /* How far back there is anything, at most `span_s`; a chart of less than a minute would show noise. */
  known_s(span_s) {
    const first = this.long[0] || this.short[0];
    return Math.min(span_s, Math.max(MINUTE_S, first ? this.now_s() - first.at_s : 0));
  }

  /* [[time, value or null], ...] of the last `span_s`, oldest first. */
  series(name, span_s) {
    const from = this.now_s() - span_s;
    return [...this.long, ...this.short].filter((row) => row.at_s >= from).map((row) => [row.at_s, row[name]]);
  }

  /* The same of what came in the minute before each time. */
  perMinute(name, span_s) {
    const points = this.series(name, span_s + MINUTE_S), found = [];
    let sum = 0, first = 0;
    for (const [at_s, value] of points) {
      sum += value || 0;
      while (points[first][0] <= at_s - MINUTE_S) sum -= points[first++][1] || 0;
      if (at_s >= this.now_s() - span_s) found.push([at_s, value === null ? null : sum]);
    }
    return found;
  }
}
