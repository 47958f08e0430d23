/* The table of models: a row each, in the order of the configuration, so that nothing jumps. Below 700 px rows are
   cards, by the style alone. */

import { decimal, make, setAttribute, setText, visible } from "./page.js";
import { Chart, scaleEnd } from "./dashboard_charts.js";
import { colourOf, useOf } from "./dashboard_parts.js";

const COLUMNS = ["Model", "State", "Running", "Waiting", "Tokens/s", "Memory", "Until", "Last reason"];
const LEAST_S = 30, SPARK_HEIGHT = 18, LEAST_RATE = 10;
/* state -> words, colour; a state that is not here shows as it is */
const STATES = {
  down: ["not loaded", ""], starting: ["starting", "busy"], empty: ["starting", "busy"], loading: ["loading", "busy"],
  ready: ["ready", "good"], draining: ["finishing", "busy"], stopping: ["leaving", "busy"],
  verify_free: ["leaving", "busy"], backoff: ["crashed, waits", "warn"], quarantined: ["given up", "bad"],
  held: ["held", "warn"], leak_suspected: ["leaks memory", "bad"], unknown: ["silent", "bad"] };

export class Models {
  constructor(section) {
    this.sum = section.querySelector("#models-sum");
    section.querySelector("thead tr").replaceChildren(...COLUMNS.map((name) =>
      make("th", { scope: "col", role: "columnheader" }, name)));
    this.body = section.querySelector("tbody");
    this.rows = new Map(); // key -> row
  }

  draw(models, past) {
    const wanted = models.map((model) => model.key);
    for (const [key, row] of this.rows) {
      if (!wanted.includes(key)) { row.element.remove(); this.rows.delete(key); }
    }
    models.forEach((model, number) => {
      let row = this.rows.get(model.key);
      if (!row) this.rows.set(model.key, row = new ModelRow());
      if (this.body.children[number] !== row.element) this.body.insertBefore(row.element, this.body.children[number]);
      row.draw(model, colourOf(number), past.rates.get(model.key) || []);
    });
    const loaded = models.filter((model) => model.share_bytes).length;
    setText(this.sum, `${loaded} of ${models.length} loaded`);
  }
}

class ModelRow {
  constructor() {
    this.name = make("span", { class: "words" });
    this.mark = make("i", {});
    this.state = make("span", { class: "chip" });
    this.rate = make("span", {});
    this.spark = new Chart(SPARK_HEIGHT, ["one"]);
    this.memory = make("span", {});
    this.use = make("div", { class: "use" });
    this.texts = COLUMNS.map(() => make("span", { class: "words" }));
    this.bar = make("div", { class: "bar thin" }, this.use);
    const inside = { Model: [this.mark, this.name], State: [this.state], "Tokens/s": [this.rate, this.spark.element],
      Memory: [this.memory, this.bar] };
    this.element = make("tr", { role: "row" }, COLUMNS.map((column, number) =>
      this.#cell(column, number, inside[column] || [this.texts[number]])));
  }

  #cell(column, number, inside) {
    return make(number ? "td" : "th", { role: number ? "cell" : "rowheader", scope: number ? null : "row",
      "data-label": column, class: `c-${column.toLowerCase().replace(/\W.*/, "")}` }, inside);
  }

  draw(model, colour, rates) {
    const [words, kind] = STATES[model.state] || [model.state, "warn"];
    const isBusy = model.in_flight > 0;
    setAttribute(this.element, "class", model.share_bytes || kind === "bad" || kind === "warn" ? "" : "away");
    setAttribute(this.element, "data-model", model.key);
    setText(this.name, visible(model.name));
    this.mark.className = model.share_bytes ? colour : "free";
    const isLoading = model.state === "loading" && model.load_percent !== null;
    setText(this.state, isLoading ? `loading ${Math.round(model.load_percent)} %`
      : isBusy && model.state === "ready" ? "answering" : words);
    this.state.className = `chip ${isBusy && kind === "good" ? "busy" : kind}`;
    setText(this.texts[2], `${decimal(model.in_flight)}${model.paused ? ` (${model.paused} paused)` : ""}`);
    setText(this.texts[3], decimal(model.queued));
    setText(this.texts[6], model.until);
    setText(this.texts[7], visible(model.reason));
    this.#drawRate(model, rates);
    setText(this.memory, model.share_bytes ? useOf(model) : "-");
    this.use.className = `use ${colour}`;
    this.bar.hidden = !model.share_bytes;
    this.use.style.width = `${model.share_bytes ? Math.min(100, (100 * model.memory_bytes) / model.share_bytes) : 0}%`;
  }

  #drawRate(model, rates) {
    setText(this.rate, model.tokens_per_s ? decimal(model.tokens_per_s) : "-");
    this.spark.element.classList.toggle("empty", !rates.some(Boolean));
    const most = Math.max(0, ...rates);
    const span_s = Math.max(LEAST_S, rates.length), first = span_s - rates.length;
    this.spark.draw({ series: [rates.map((rate, second) => [first + second, rate])], from_s: 0, to_s: span_s - 1,
      step_s: 1, end: scaleEnd(most, LEAST_RATE), words: `peak ${decimal(most)} tokens per second of late` });
  }
}
