/* The conversation as data, and where it is kept: in this tab (sessionStorage), nowhere else. No elements here.

   A talk is a list of turns: {question, answers, chosen}. A question can have been answered more than once; `chosen`
   says which answer counts, and is sent along with later questions. An answer is {text, thinking, facts, ended}, ended:
   "" while it comes, then "whole" or "stopped". What a person chose for all conversations (model, priority) is kept in
   localStorage. Where a browser refuses to keep anything, everything lasts as long as the page.
*/

const KEPT = "chat", SESSION_BYTES = 12;

function newSession() { // randomUUID is missing where the page did not come over https
  return [...crypto.getRandomValues(new Uint8Array(SESSION_BYTES))]
    .map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class Talk {
  constructor() {
    this.turns = [];
    this.session = newSession(); // what Victoria calls this conversation
  }

  get last() { return this.turns.at(-1); }

  ask(question) {
    this.turns.push({ question, answers: [], chosen: -1 });
    return this.last;
  }

  /* A further answer to that question, which counts from now on. */
  begin(turn) {
    turn.chosen = turn.answers.push({ text: "", thinking: "", facts: "", ended: "" }) - 1;
    return turn.answers[turn.chosen];
  }

  /* As if the last answer had never been begun. */
  forget(turn) {
    turn.answers.pop();
    turn.chosen = turn.answers.length - 1;
  }

  remove(turn) {
    this.turns = this.turns.filter((each) => each !== turn);
  }

  /* What is said before the answer to the last question, for a model. */
  messages(system) {
    const said = system.trim() ? [{ role: "system", content: system }] : [];
    for (const turn of this.turns) {
      said.push({ role: "user", content: turn.question });
      if (turn !== this.last) said.push({ role: "assistant", content: turn.answers[turn.chosen].text });
    }
    return said;
  }
}

/* What was kept in this tab: {talk, draft, system, temperature}. */
export function readKept() {
  const talk = new Talk();
  const kept = { talk, draft: "", system: "", temperature: "" };
  try {
    const { turns, session, draft, system, temperature } = JSON.parse(sessionStorage.getItem(KEPT) || "{}");
    if (turns) Object.assign(talk, { turns, session });
    Object.assign(kept, { draft: draft || "", system: system || "", temperature: temperature || "" });
  } catch { /* nothing was kept, or it is not ours */ }
  return kept;
}

/* `box`: {draft, system, temperature}. False if it cannot be kept: storage is switched off, or the conversation is too
   long for it. */
export function keep(talk, box) {
  const turns = talk.turns.map(keepable).filter((turn) => turn.answers.length);
  return store(sessionStorage, KEPT, JSON.stringify({ turns, session: talk.session, ...box }));
}

/* An answer under way is kept as if it had been stopped now; one without a word is not. */
function keepable(turn) {
  const answers = turn.answers.filter((each) => each.text || each.ended === "whole")
    .map((each) => ({ ...each, ended: each.ended || "stopped", facts: each.facts || "stopped" }));
  return { ...turn, answers, chosen: Math.min(turn.chosen, answers.length - 1) };
}

export const keepChoice = (name, value) => store(localStorage, name, value);

export function readChoice(name) {
  try { return localStorage.getItem(name) || ""; } catch { return ""; }
}

function store(storage, name, value) {
  try {
    storage.setItem(name, value);
    return true;
  } catch {
    return false;
  }
}
