/* Copies text, and says on the button that it did. Over plain http from another machine browsers have no clipboard for
   pages; there the older way is taken, a selection. */

const SAID_MS = 1500;

export async function copy(text, button) {
  const label = button.textContent;
  if (button.dataset.busy) return;
  button.dataset.busy = "yes";
  button.textContent = await copied(text) ? "Copied" : "Not allowed";
  setTimeout(() => {
    button.textContent = label;
    delete button.dataset.busy;
  }, SAID_MS);
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copiedBySelection(text);
  }
}

function copiedBySelection(text) {
  const box = document.createElement("textarea"), before = document.activeElement;
  box.className = "unseen";
  box.value = text;
  document.body.append(box);
  box.select();
  try {
    return document.execCommand("copy");
  } finally {
    box.remove();
    before?.focus();
  }
}
