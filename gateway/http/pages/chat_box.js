/* The box for the next message, the settings beside it, and the keys: what is typed, not what becomes of it.

   While a question is edited, what stood in the box before waits, and comes back afterwards.
*/

import { at, setText } from "./page.js";
import { keepChoice, readChoice } from "./chat_talk.js";

const KEYBOARD_MIN_PX = 80;
const COMPOSING = 229; // the code of a key that ends the writing of a character, where isComposing is false by then

export class Box {
  /* `acts`: {submit, stop (true if there was something to stop), editLast (true if there was a question)}. */
  constructor(acts) {
    Object.assign(this, { acts, edited: null, draft: "" });
    [this.text, this.system, this.temperature, this.priority, this.settings] =
      ["text", "system", "temperature", "priority", "settings"].map(at);
    at("form").addEventListener("submit", (event) => { event.preventDefault(); this.send(); });
    at("unedit").addEventListener("click", () => { this.endEdit(); this.text.focus(); });
    this.text.addEventListener("input", () => this.fit());
    this.text.addEventListener("keydown", (event) => this.onKey(event));
    document.addEventListener("keydown", (event) => event.key === "Escape" && this.onEscape());
    document.addEventListener("click", ({ target }) => this.settings.contains(target) || (this.settings.open = false));
    for (const field of [this.system, this.temperature]) field.addEventListener("input", () => this.nameSettings());
    this.priority.addEventListener("change", () => keepChoice("priority", this.priority.value));
    visualViewport.addEventListener("resize", fitScreen);
  }

  get value() { return this.text.value; }

  set value(value) {
    this.text.value = value;
    this.fit();
  }

  /* Shows what was kept. */
  restore({ draft, system, temperature }) {
    [this.value, this.system.value, this.temperature.value] = [draft, system, temperature];
    const chosen = readChoice("priority");
    if ([...this.priority.options].some((option) => option.value === chosen)) this.priority.value = chosen;
    this.nameSettings();
  }

  /* What is asked besides the message. temperature NaN: the model's own. */
  get asked() {
    return { system: this.system.value, temperature: this.temperature.valueAsNumber, priority: this.priority.value };
  }

  get kept() {
    return { draft: this.value, system: this.system.value, temperature: this.temperature.value };
  }

  /* `edited`: what `endEdit` gives back, a TurnView; its question stands in the box. */
  beginEdit(edited, question, draft = this.value) {
    this.endEdit();
    Object.assign(this, { edited, draft });
    edited.element.classList.add("edited");
    at("editing").hidden = false;
    this.value = question;
    this.text.focus();
  }

  /* What was edited, null if nothing was. The draft stands in the box again. */
  endEdit() {
    const { edited } = this;
    if (edited) {
      edited.element.classList.remove("edited");
      at("editing").hidden = true;
      this.value = this.draft;
      this.edited = null;
    }
    return edited;
  }

  send() {
    this.settings.open = false;
    this.acts.submit();
  }

  fit() {
    const { text } = this;
    text.style.height = "auto";
    text.style.height = `${text.scrollHeight + text.offsetHeight - text.clientHeight}px`;
  }

  nameSettings() {
    const changed = this.system.value.trim() || this.temperature.value;
    setText(this.settings.querySelector("summary"), changed ? "Settings (changed)" : "Settings");
  }

  onKey(event) {
    if (event.isComposing || event.keyCode === COMPOSING) return;
    const sends = event.key === "Enter" && !event.shiftKey;
    if (sends) this.send();
    if (sends || event.key === "ArrowUp" && !this.value && this.acts.editLast()) event.preventDefault();
  }

  onEscape() {
    if (this.settings.contains(document.activeElement) && this.settings.open) {
      this.settings.querySelector("summary").focus();
    } else if (this.acts.stop()) return;
    if (this.settings.open) this.settings.open = false;
    else this.endEdit();
  }
}

/* Where a keyboard on the screen covers the page instead of making it smaller. */
function fitScreen() {
  const { height } = visualViewport;
  document.body.style.height = innerHeight - height > KEYBOARD_MIN_PX ? `${height}px` : "";
}
