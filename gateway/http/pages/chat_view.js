/* Turns of the conversation as elements, and what a person can do with them. All text is text; see markdown_view.js.

   A growing answer is shown at most once per frame, and less often where showing it takes long: a quarter of the time
   at most goes into that, so that a long answer does not make the page slow.
*/

import { make, setText } from "./page.js";
import { copy } from "./chat_copy.js";
import { visible } from "./markdown_text.js";
import { MarkdownView } from "./markdown_view.js";

const SHARE = 4; // of the time may go into showing: one in so many
const ERRORS = "p.notice.bad";

const button = (label, name, act) => {
  const made = make("button", { type: "button", class: `small ${name}` }, label);
  made.addEventListener("click", act);
  return made;
};

/* One question and its answers. `acts`: {edit(turn), regenerate(turn), choose(turn, index)}. */
export class TurnView {
  constructor(turn, acts) {
    this.turn = turn;
    const copyOf = (text) => ({ currentTarget }) => copy(text(), currentTarget);
    const answer = () => turn.answers[turn.chosen];
    this.question = make("div", { class: "said user words", dir: "auto" }, turn.question);
    this.asked = make("div", { class: "acts asked" }, button("Edit", "edit last", () => acts.edit(turn)),
      button("Copy", "copy", copyOf(() => turn.question)));
    this.thoughts = make("div", { class: "thoughts words", dir: "auto" });
    this.thinking = make("details", { class: "thinking", hidden: true }, make("summary"), this.thoughts);
    this.body = make("div", { class: "markdown words", dir: "auto" });
    this.facts = make("span", { class: "facts dim number" });
    this.which = make("span", { class: "number" });
    this.versions = make("span", { class: "versions", role: "group", "aria-label": "Versions of this answer" },
      button("\u2039", "before", () => acts.choose(turn, turn.chosen - 1)), this.which,
      button("\u203a", "after", () => acts.choose(turn, turn.chosen + 1)));
    const [before, after] = this.versions.querySelectorAll("button");
    before.setAttribute("aria-label", "Earlier version");
    after.setAttribute("aria-label", "Later version");
    this.foot = make("div", { class: "acts answered", hidden: true }, this.versions, button("Copy", "copy", copyOf(() =>
      answer().text)), button("Regenerate", "again last", () => acts.regenerate(turn)), this.facts);
    this.article = make("article", { class: "said assistant", "aria-label": "Answer" },
      this.thinking, this.body, this.foot);
    this.element = make("section", { class: "turn" }, this.question, this.asked, this.article);
    this.showChosen();
  }

  /* Shows the answer that counts, from nothing. */
  showChosen() {
    this.body.replaceChildren();
    this.thoughts.replaceChildren();
    this.thought = 0; // characters of the reasoning that are shown
    this.markdown = new MarkdownView(this.body, copy);
    this.showNow();
  }

  showNow() {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    this.show();
  }

  /* There is more of it. `shown()` is called when that can be seen. */
  grow(shown) {
    if (this.frame) return;
    this.frame = requestAnimationFrame((now) => {
      this.frame = 0;
      if (now < this.notBefore) this.grow(shown);
      else {
        this.show();
        shown();
      }
    });
  }

  show() {
    const { turn } = this, answer = turn.answers[turn.chosen];
    this.article.hidden = !answer;
    if (!answer) return;
    const began = performance.now(), growing = !answer.ended;
    this.markdown.update(answer.text, growing);
    if (answer.thinking.length > this.thought) {
      this.thoughts.append(visible(answer.thinking.slice(this.thought)));
      this.thought = answer.thinking.length;
    }
    this.thinking.hidden = !answer.thinking;
    setText(this.thinking.firstChild, growing && !answer.text ? "Thinking ..." : "Thought before answering");
    this.article.classList.toggle("growing", growing);
    this.article.classList.toggle("empty", !answer.text);
    this.foot.hidden = growing;
    setText(this.facts, answer.facts);
    setText(this.which, `${turn.chosen + 1}/${turn.answers.length}`);
    this.versions.hidden = turn.answers.length < 2;
    const [before, after] = this.versions.querySelectorAll("button");
    [before.disabled, after.disabled] = [turn.chosen === 0, turn.chosen === turn.answers.length - 1];
    const now = performance.now();
    this.notBefore = now + (now - began) * (SHARE - 1);
  }
}

export const errorNote = (text) => make("p", { class: "notice bad words", role: "alert" }, visible(text));

export const forgetErrors = (talk) => talk.querySelectorAll(ERRORS).forEach((error) => error.remove());

/* Keeps the newest in view while the person is there, and offers a way back while not. */
export class Follower {
  constructor(scroll, button) {
    Object.assign(this, { scroll, button, following: true, top: 0 });
    scroll.addEventListener("scroll", () => this.look(), { passive: true });
    button.addEventListener("click", () => this.toEnd());
    new ResizeObserver(() => this.follow()).observe(scroll);
  }

  look() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroll, below = scrollHeight - scrollTop - clientHeight;
    if (below < NEAR_PX) this.following = true;
    else if (scrollTop < this.top) this.following = false; // a person went up; growth alone does not
    this.top = scrollTop;
    this.button.hidden = this.following || below < NEAR_PX;
  }

  follow() {
    if (this.following) this.scroll.scrollTop = this.scroll.scrollHeight;
    this.look();
  }

  toEnd() {
    this.following = true;
    this.follow();
  }
}
const NEAR_PX = 8;
