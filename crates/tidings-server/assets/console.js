// Puts each new board in place of the old one, element by element, so that what has not changed stays untouched.
const link = document.getElementById("link");
const text = document.getElementById("link-text");
const source = new EventSource("/console/events");
let silence;

function say(state, words) {
  link.className = `link ${state}`;
  text.textContent = words;
  document.body.classList.toggle("blind", state === "bad");
}

source.onmessage = (event) => {
  const board = new DOMParser().parseFromString(event.data, "text/html");
  for (const fresh of board.querySelectorAll("[data-live]")) {
    const old = document.getElementById(fresh.id);
    if (old && !old.isEqualNode(fresh)) old.replaceWith(fresh);
  }
  say("good", "live");
  clearTimeout(silence);
  // Silence is not freshness, here neither.
  silence = setTimeout(() => say("bad", "no news: what you see is old"), 3000);
};
source.onerror = () => say("bad", "no connection: what you see is old");
