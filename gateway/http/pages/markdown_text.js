/* What a model's text may show and where its links may lead. Pure: strings in, strings out; runs in node too.

   Characters that act instead of being seen (control characters, ANSI escapes, marks that turn the reading direction)
   are shown as signs of themselves: what is seen is what is there, and what is copied. A link leads to http, https or
   mailto, written out in full; anything else stays the text that it is.
*/

const ACTING = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069\ufff9-\ufffb]/g;
const ALLOWED = new Set(["http:", "https:", "mailto:"]);
const ABSOLUTE = /^(?:https?:\/\/[^\s\\]|mailto:[^\s\\])/i;
const URL_MAX_CHARS = 2000;
const PICTURES = 0x2400; // the signs of the control characters, in their order
const DELETE = 0x7f, SIGN_OF_DELETE = "\u2421";
const SAYS_A_HOST = /(?:[\p{L}\p{N}_-]{1,63}\.){1,8}[\p{L}\p{N}-]{2,63}/gu;
const UNSEEN = /\p{Default_Ignorable_Code_Point}/gu;
const LOOKED_AT_CHARS = 300; // of a link's text, for a host that it names

function sign(character) {
  const code = character.charCodeAt(0);
  if (code < 0x20) return String.fromCharCode(PICTURES + code);
  if (code === DELETE) return SIGN_OF_DELETE;
  return `\u27e8U+${code.toString(16).toUpperCase().padStart(4, "0")}\u27e9`;
}

/* `text` without characters that act; tabs and line ends stay. */
export const visible = (text) => text.replace(ACTING, sign);

/* The URL of a written-out address, null if a link may not lead there. */
export function addressOf(written) {
  if (written.length > URL_MAX_CHARS || !ABSOLUTE.test(written)) return null;
  let url;
  try {
    url = new URL(written);
  } catch {
    return null;
  }
  return ALLOWED.has(url.protocol) && (url.host || url.protocol === "mailto:") ? url : null;
}

/* Where the link really leads, if its text names another place or the address hides it; else "". */
export function placeToShow(url, text) {
  const place = url.host || url.pathname;
  if (url.username || url.password) return place;
  const said = asSeen(text), itself = addressOf(said);
  if (itself && itself.host === url.host || said === url.pathname) return "";
  const hosts = [...said.slice(0, LOOKED_AT_CHARS).matchAll(SAYS_A_HOST)].map((found) => bare(found[0]));
  return hosts.some((host) => host !== bare(url.hostname)) ? place : "";
}

/* As it looks to people: without characters that nobody sees, and with every kind of full stop that hosts can have. */
const asSeen = (text) => text.normalize("NFKC").replace(UNSEEN, "").replaceAll("\u3002", ".")
  .replace(/\s+/g, " ").trim();

const bare = (host) => host.toLowerCase().replace(/^www\./, "");
