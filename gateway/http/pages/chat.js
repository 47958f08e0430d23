/* The chat page: what a person does, what is asked then, and what is shown of it.

   One answer at a time. A question without a word of answer goes back to the box, an answer that broke off stays as far
   as it came. An edited question takes the place of the last one; a regenerated answer stands beside the earlier ones.
   Finished answers are read out by screen readers, pieces are not.
*/

import { at, bindKeyField, setText, wordsOf } from "./page.js";
import { answer } from "./chat_ask.js";
import { Box } from "./chat_box.js";
import { Picker } from "./chat_models.js";
import { keep, readKept, Talk } from "./chat_talk.js";
import { errorNote, Follower, forgetErrors, TurnView } from "./chat_view.js";

const READ_OUT_MAX_CHARS = 2000;
const [list, words, waited, victoria] = ["talk", "words", "waited", "victoria"].map(at);
const follower = new Follower(at("scroll"), at("newest"));
const picker = new Picker(at("model"), toldOfModels, offerVictoria);
const box = new Box({ submit, stop, editLast: () => edit(talk.last) });
const views = new Map(); // turn -> TurnView
const ownKeyboard = matchMedia("(pointer: fine)"); // focus opens no keyboard over the page

let talk = null;
let running = null; // {controller, turn} of the answer under way
let clock = 0; // the timer that counts the seconds until the first word

/* ---- what is shown */

/* `quiet`: said to screen readers only, since it stands below the answer too. */
function say(status, { quiet = false } = {}) {
  setText(words, status);
  words.classList.toggle("unseen", quiet);
}

function addView(turn) {
  const view = new TurnView(turn, { edit, regenerate, choose });
  views.set(turn, view);
  list.append(view.element);
  return view;
}

function dropTurn(turn) {
  talk.remove(turn);
  views.get(turn).element.remove();
  views.delete(turn);
}

function startClock() {
  const since = Date.now();
  clock = setInterval(() => setText(waited, ` - waited ${Math.round((Date.now() - since) / 1000)} s`), 1000);
}

function stopClock() {
  clearInterval(clock);
  setText(waited, "");
}

function setBusy(busy) {
  const focused = document.activeElement;
  [at("send").disabled, at("stop").disabled] = [busy, !busy];
  document.body.classList.toggle("busy", busy);
  list.setAttribute("aria-busy", String(busy));
  if (busy && focused === at("send")) at("stop").focus();
  else if (!busy && ownKeyboard.matches && [at("stop"), document.body].includes(focused)) box.text.focus();
}

/* ---- asking */

function submit() {
  const question = box.value.trim();
  if (!question || running) return;
  const replaced = box.endEdit()?.turn;
  const draft = replaced ? box.draft : "";
  box.value = draft;
  if (replaced) dropTurn(replaced);
  const turn = talk.ask(question);
  run(turn, addView(turn), () => {
    dropTurn(turn);
    if (replaced) {
      talk.turns.push(replaced);
      box.beginEdit(addView(replaced), question);
    } else box.value = box.value.trim() ? `${question}\n${box.value}` : question;
  });
}

function regenerate(turn) {
  if (running || turn !== talk.last) return;
  box.endEdit();
  run(turn, views.get(turn), () => {
    talk.forget(turn);
    views.get(turn).showChosen();
  });
}

/* Gets a further answer to the turn. `undo` is for when not a word of it came. */
async function run(turn, view, undo) {
  const mine = talk, found = talk.begin(turn), controller = new AbortController();
  const { system, ...settings } = box.asked;
  const asked = { ...settings, victoria: asksVictoria(), model: picker.value, session: talk.session,
    messages: talk.messages(system) };
  running = { controller, turn };
  setBusy(true);
  view.showChosen();
  follower.toEnd();
  startClock();
  say("Sent, waiting for the first words ...");
  let failure = null;
  try {
    for await (const piece of answer(asked, controller.signal)) take(piece, found, view);
  } catch (error) {
    failure = error;
  }
  if (mine !== talk) return; // a new chat was begun meanwhile
  running = null;
  forgetErrors(list);
  if (failure) breakOff(failure, found, undo);
  stopClock();
  if (views.has(turn)) finish(found, view);
  setBusy(false);
  follower.follow();
  keep(talk, box.kept);
  picker.refresh();
}

function take(piece, found, view) {
  if (piece.waiting) return say(piece.waiting);
  if (piece.end) {
    found.ended = "whole";
    found.facts = [...piece.end.facts, ...(found.text ? [] : ["no words"])].join(" \u00b7 ");
    return say(piece.end.status, { quiet: true });
  }
  if (!found.text && !found.thinking) stopClock();
  found.text += piece.text || "";
  found.thinking += piece.thinking || "";
  say(found.text ? "Answering ..." : "Thinking ...");
  return view.grow(() => follower.follow());
}

function breakOff(error, found, undo) {
  const stopped = error.name === "AbortError";
  say(stopped ? "Stopped." : "");
  [found.ended, found.facts] = ["stopped", stopped ? "stopped" : "broke off"];
  if (!found.text) undo();
  if (!stopped) list.append(errorNote(`Error: ${wordsOf(error)}`));
}

function finish(found, view) {
  view.showNow();
  if (found.ended === "whole") setText(at("finished"), view.body.innerText.slice(0, READ_OUT_MAX_CHARS));
}

/* Was there something to stop? */
function stop() {
  running?.controller.abort();
  return Boolean(running);
}

/* ---- changing what was said */

/* Can that question be edited now? */
function edit(turn) {
  const can = Boolean(turn) && !running && turn === talk.last;
  if (can) box.beginEdit(views.get(turn), turn.question);
  return can;
}

function choose(turn, index) {
  if (running || !turn.answers[index]) return;
  turn.chosen = index;
  views.get(turn).showChosen();
  keep(talk, box.kept);
}

function startAgain() {
  stop();
  box.endEdit();
  running = null;
  talk = new Talk();
  views.clear();
  list.replaceChildren();
  stopClock();
  setBusy(false);
  say("");
  setText(at("finished"), "");
  keep(talk, box.kept);
  box.text.focus();
}

/* ---- models, Victoria, keys */

const asksVictoria = () => victoria.checked && !at("switch").hidden;

function toldOfModels(error) {
  if (!error && words.dataset.models) {
    forgetErrors(list);
    say("");
    delete words.dataset.models;
  } else if (error && !running) {
    words.dataset.models = "missing";
    say(`The list of models cannot be had: ${wordsOf(error)}`);
  }
}

function offerVictoria(here) {
  at("switch").hidden = !here;
  namePicker();
}

function namePicker() {
  setText(at("whose"), asksVictoria() ? "If Victoria cannot:" : "Model");
  at("whose").classList.toggle("unseen", !asksVictoria());
}

function begin() {
  const kept = readKept();
  talk = kept.talk;
  for (const turn of talk.turns) addView(turn);
  box.restore(kept);
  at("stop").addEventListener("click", stop);
  at("fresh").addEventListener("click", startAgain);
  victoria.addEventListener("change", namePicker);
  bindKeyField(at("key"), () => picker.refresh());
  window.addEventListener("pagehide", () => {
    const unanswered = running && !running.turn.answers.at(-1).text;
    keep(talk, unanswered ? { ...box.kept, draft: running.turn.question } : box.kept);
  });
  follower.toEnd();
  picker.refresh();
}

begin();
