// A square that is dragged, or moved by arrow keys; Python gets its upper left corner in image pixels as it moves.
const EVERY = 150; // milliseconds between two corners that are sent while dragging

export default function ({ data, parentElement, setStateValue }) {
  const { stage, drawing, said } = stageOf(parentElement, data);
  const side = data.side;
  if (stage.held === undefined) stage.held = null;
  if (stage.corner === undefined || stage.side !== side) stage.corner = data.corner;
  stage.side = side;
  show();

  function show() {
    draw(drawing, "square", { x: stage.corner[0], y: stage.corner[1], width: side, height: side, fill: data.fill });
  }
  function move(x, y) {
    stage.corner = [Math.round(within(x, 0, data.width - side)), Math.round(within(y, 0, data.height - side))];
    show();
    said.textContent = `corner at ${stage.corner[0]}, ${stage.corner[1]} pixels`;
  }
  function send() {
    clearTimeout(stage.waiting);
    stage.waiting = undefined;
    setStateValue("corner", stage.corner);
  }
  stage.onpointerdown = (event) => {
    stage.setPointerCapture(event.pointerId);
    stage.focus({ preventScroll: true });
    const [x, y] = pointOf(event, drawing, data);
    const [left, top] = stage.corner;
    const inside = x >= left && x < left + side && y >= top && y < top + side;
    stage.held = inside ? [x - left, y - top] : [side / 2, side / 2];
    move(x - stage.held[0], y - stage.held[1]);
    event.preventDefault();
  };
  stage.onpointermove = (event) => {
    if (!stage.held) return;
    const [x, y] = pointOf(event, drawing, data);
    move(x - stage.held[0], y - stage.held[1]);
    stage.waiting = stage.waiting ?? setTimeout(send, EVERY);
  };
  stage.onpointerup = stage.onpointercancel = () => {
    if (stage.held) send();
    stage.held = null;
  };
  stage.onkeydown = (event) => {
    const arrow = ARROWS[event.key];
    if (!arrow) return;
    move(stage.corner[0] + arrow[0] * data.step, stage.corner[1] + arrow[1] * data.step);
    clearTimeout(stage.waiting);
    stage.waiting = setTimeout(send, EVERY);
    event.preventDefault();
  };
}
