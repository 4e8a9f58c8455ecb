/**
 * A synthetic camera and microphone: a moving picture with a name and a clock, and a soft beep each
 * second. Two of them show at a glance whether picture and sound flow, and how far behind they are.
 */

const WIDTH = 640;
const HEIGHT = 360;
const FRAMES_PER_SECOND = 20;
const BARS = ["#d9d9d9", "#d8c64a", "#3fb9b3", "#46a758", "#b65aa8", "#c2493d", "#3b5bb5"];

/**
 * Draws the test picture until its track is stopped.
 * @param {string} name
 * @returns {MediaStreamTrack}
 */
export function testPicture(name) {
  const canvas = Object.assign(document.createElement("canvas"), { width: WIDTH, height: HEIGHT });
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const draw = () => paint(context, name, calm ? 0 : performance.now() / 1000);
  draw();
  const [track] = canvas.captureStream(FRAMES_PER_SECOND).getVideoTracks();
  // An interval and not requestAnimationFrame: a window in the background goes on sending.
  const timer = setInterval(() => (track.readyState === "ended" ? clearInterval(timer) : draw()), 1000 / FRAMES_PER_SECOND);
  return track;
}

/** Beeps once a second, quietly. @returns {MediaStreamTrack} */
export function testTone() {
  const audio = new AudioContext();
  const output = audio.createMediaStreamDestination();
  const gain = new GainNode(audio, { gain: 0 });
  const oscillator = new OscillatorNode(audio, { frequency: 660 });
  oscillator.connect(gain).connect(output);
  oscillator.start();
  const [track] = output.stream.getAudioTracks();
  const timer = setInterval(() => {
    if (track.readyState === "live") return beep(audio, gain);
    clearInterval(timer);
    return audio.close();
  }, 1000);
  // Browsers keep audio suspended until somebody touches the page.
  addEventListener("pointerdown", () => audio.state === "suspended" && audio.resume(), { once: true });
  return track;
}

/**
 * @param {AudioContext} audio
 * @param {GainNode} gain
 */
function beep(audio, gain) {
  const now = audio.currentTime;
  gain.gain.setValueAtTime(0, now);
  gain.gain.linearRampToValueAtTime(0.06, now + 0.02);
  gain.gain.linearRampToValueAtTime(0, now + 0.12);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {string} name
 * @param {number} seconds
 */
function paint(context, name, seconds) {
  const bar = WIDTH / BARS.length;
  BARS.forEach((colour, index) => {
    context.fillStyle = colour;
    context.fillRect(Math.floor(index * bar), 0, Math.ceil(bar), HEIGHT);
  });
  context.fillStyle = "rgb(16 20 18 / 82%)";
  context.fillRect(0, HEIGHT * 0.3, WIDTH, HEIGHT * 0.4);
  paintBall(context, seconds);
  context.fillStyle = "#fff";
  context.textAlign = "center";
  context.font = "600 44px system-ui, sans-serif";
  context.fillText(name, WIDTH / 2, HEIGHT * 0.49, WIDTH * 0.8);
  context.font = "30px ui-monospace, monospace";
  context.fillText(new Date().toISOString().slice(11, 21), WIDTH / 2, HEIGHT * 0.63);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} seconds
 */
function paintBall(context, seconds) {
  const sway = Math.sin(seconds * 1.6);
  context.fillStyle = "#54cfa4";
  context.beginPath();
  context.arc(WIDTH / 2 + sway * (WIDTH / 2 - 40), HEIGHT * 0.82, 22, 0, 2 * Math.PI);
  context.fill();
}
