/* Which models this person may ask, in the picker, with what is known of their state; and whether Victoria is there.

   The list is /models, asked with the key: what is not in it could not be asked either. It is read again when the
   picker is about to be used and after each answer, which is when states have changed. The last choice is remembered;
   without one, a model that is loaded comes before one that is not.
*/

import { ask, setText, visible } from "./page.js";
import { keepChoice, readChoice } from "./chat_talk.js";

const AGAIN_MS = 3000;
const STATES = { ready: "loaded", loading: "loading", starting: "starting", draining: "is leaving", backoff: "restarts",
  quarantined: "out of order" };

export class Picker {
  /* `told(error)` hears how asking went: null, or why there is no list. `victoria(here)`: whether she can be asked. */
  constructor(select, told, victoria) {
    Object.assign(this, { select, told, victoria, timer: 0 });
    select.addEventListener("change", () => {
      keepChoice("model", select.value);
      this.describe();
    });
    for (const event of ["focus", "pointerenter"]) select.addEventListener(event, () => this.refresh());
  }

  get value() { return this.select.value; }

  async refresh() {
    clearTimeout(this.timer);
    try {
      const { models } = await (await ask("/models")).json();
      this.show(models.filter((model) => model.backend === "mlx"));
      this.victoria(models.some((model) => model.backend === "victoria"));
      this.told(null);
    } catch (error) {
      this.told(error);
      if (error.status !== 401) this.timer = setTimeout(() => this.refresh(), AGAIN_MS);
    }
  }

  show(models) {
    const { select } = this, wanted = select.value || readChoice("model");
    const names = models.map((model) => model.name);
    if ([...select.options].map((option) => option.value).join("\n") !== names.join("\n")) {
      select.replaceChildren(...names.map((name) => new Option("", name)));
      if (!names.length) select.replaceChildren(new Option("No model to ask", ""));
      const loaded = models.find((model) => model.state === "ready") || models[0];
      select.value = names.includes(wanted) ? wanted : loaded ? loaded.name : "";
    }
    for (const [index, { name, state }] of models.entries()) {
      setText(select.options[index], visible(name) + (STATES[state] ? ` (${STATES[state]})` : ""));
    }
    this.describe();
  }

  describe() {
    this.select.title = visible(this.select.selectedOptions[0]?.textContent || "Model");
  }
}
