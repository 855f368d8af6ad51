// Plays `?media=` with `?player=` (hls, shaka or native). A ladder is climbed while it plays, from the smallest picture
// to the largest: that works only when renditions can be changed at every segment.

const query = new URLSearchParams(location.search);
const media = query.get("media");
const video = document.querySelector("video");
const errors = [];
const sizes = [];

function finish(ended) {
  const { currentTime, duration, videoWidth, videoHeight } = video;
  window.outcome ??= { ended, currentTime, duration, size: `${videoWidth}x${videoHeight}`, sizes, errors };
}

function fail(error) {
  errors.push(String(error));
  finish(false);
}

function playHls() {
  const hls = new Hls({ startLevel: 0, maxBufferLength: 6 });
  hls.on(Hls.Events.ERROR, (_, { fatal, details, error }) => {
    // On a busy machine a player may have to wait; that is not the output's fault.
    if (fatal) fail(`${details}: ${error}`);
  });
  hls.on(Hls.Events.MANIFEST_PARSED, () => { hls.loadLevel = 0; });
  hls.on(Hls.Events.FRAG_BUFFERED, (_, { frag }) => {
    // At once to the top: the last segment alone is over before a busy machine has shown it.
    if (frag.type === "main") hls.loadLevel = hls.levels.length - 1;
  });
  hls.loadSource(media);
  hls.attachMedia(video);
}

async function playShaka() {
  shaka.polyfill.installAll();
  const player = new shaka.Player();
  await player.attach(video);
  player.configure({ abr: { enabled: false }, streaming: { bufferingGoal: 1, rebufferingGoal: 0.5 } });
  player.addEventListener("error", ({ detail }) => fail(`${detail.code}: ${detail.message}`));
  await player.load(media);
  const ladder = player.getVariantTracks().sort((one, other) => one.height - other.height);
  player.selectVariantTrack(ladder[0], true);
  video.addEventListener("timeupdate", () => {
    const rung = ladder[Math.min(Math.floor(video.currentTime / 3), ladder.length - 1)];
    if (!player.getVariantTracks().some((track) => track.active && track.height === rung.height)) {
      player.selectVariantTrack(rung);
    }
  });
}

video.addEventListener("resize", () => sizes.push(`${video.videoWidth}x${video.videoHeight}`));
video.addEventListener("ended", () => finish(true));
video.addEventListener("error", () => fail(video.error?.message));
video.addEventListener("canplay", () => {
  video.playbackRate = Number(query.get("rate"));
  video.play().catch(fail);
}, { once: true });

const play = { hls: playHls, shaka: playShaka, native: () => { video.src = media; } }[query.get("player")];
Promise.resolve().then(play).catch(fail);
