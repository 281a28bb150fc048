"use strict";
for (const box of document.querySelectorAll(".timeline")) {
  const audio = box.querySelector("audio");
  const picture = box.querySelector(".wide");
  if (!audio || !picture) continue;
  const cursor = box.querySelector(".cursor");
  const scroller = box.querySelector(".scroll");
  const said = box.querySelector(".said");
  const draft = box.querySelector(".draft");
  const captions = JSON.parse(box.dataset.captions);
  const [from, to, seconds] = ["from", "to", "seconds"].map((name) => Number(box.dataset[name]));

  const show = () => {
    const now = audio.currentTime;
    const share = from + (to - from) * Math.min(1, now / seconds);
    cursor.style.left = `${100 * share}%`;
    const room = scroller.scrollWidth - scroller.clientWidth;
    if (room > 0 && !audio.paused) {
      scroller.scrollLeft = share * scroller.scrollWidth - scroller.clientWidth / 2;
    }
    let shown = { text: "", draft: "" };
    for (const one of captions) {
      if (one.t <= now + 0.01) shown = one;
    }
    said.textContent = shown.text;
    draft.textContent = shown.draft ? ` ${shown.draft}` : "";
  };
  const follow = () => {
    show();
    if (!audio.paused && !audio.ended) requestAnimationFrame(follow);
  };
  audio.addEventListener("play", follow);
  for (const name of ["seeked", "pause", "ended"]) audio.addEventListener(name, show);
  picture.addEventListener("click", (event) => {
    const place = picture.getBoundingClientRect();
    const share = (event.clientX - place.left) / place.width;
    audio.currentTime = Math.max(0, Math.min(seconds, ((share - from) / (to - from)) * seconds));
  });
  show();
}
addEventListener("beforeprint", () => {
  for (const one of document.querySelectorAll("details")) one.open = true;
});
