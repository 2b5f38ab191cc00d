// Freehand strokes, each a radius and points in image pixels; Python gets all of them when a stroke ends.
// What is going on is kept on the stage, as a rerun may call this function in the middle of a stroke.
export default function ({ data, parentElement, setStateValue }) {
  const { stage, drawing, said } = stageOf(parentElement, data);
  const tools = parentElement.querySelector(".tools");
  stage.strokes = stage.strokes ?? structuredClone(data.strokes);
  stage.radius = stage.radius ?? data.radii[1];
  stage.cursor = stage.cursor ?? [data.width / 2, data.height / 2];

  function redraw() {
    drawing.querySelectorAll(".stroke").forEach((one) => one.remove());
    for (const stroke of stage.drawn ? [...stage.strokes, stage.drawn] : stage.strokes) {
      const line = document.createElementNS(SVG, "polyline");
      const [first] = stroke.points;
      const points = stroke.points.length > 1 ? stroke.points : [first, first];
      line.setAttribute("class", "stroke");
      line.setAttribute("points", points.map((point) => point.join(",")).join(" "));
      line.setAttribute("stroke-width", 2 * stroke.radius);
      drawing.querySelector(".painted").appendChild(line);
    }
    for (const part of ["cursor-edge", "cursor"])
      draw(drawing, part, { cx: stage.cursor[0], cy: stage.cursor[1], r: stage.radius }, "circle");
    undo.disabled = clear.disabled = stage.strokes.length === 0;
  }
  function finish(strokes, what) {
    stage.strokes = strokes;
    stage.drawn = null;
    redraw();
    said.textContent = `${what}; ${strokes.length} strokes`;
    setStateValue("strokes", strokes);
  }
  function button(name, pressed, action) {
    const one = document.createElement("button");
    one.type = "button";
    one.textContent = name;
    if (pressed !== null) one.setAttribute("aria-pressed", pressed);
    one.onclick = action;
    tools.appendChild(one);
    return one;
  }
  tools.replaceChildren();
  if (!drawing.querySelector(".painted")) draw(drawing, "painted", {}, "g");
  data.radii.forEach((radius, index) => {
    const name = ["Small brush", "Medium brush", "Large brush"][index];
    const one = button(name, stage.radius === radius, () => {
      stage.radius = radius;
      tools.querySelectorAll("[aria-pressed]").forEach((other) => other.setAttribute("aria-pressed", other === one));
      redraw();
    });
  });
  const undo = button("Undo", null, () => finish(stage.strokes.slice(0, -1), "undone"));
  const clear = button("Clear", null, () => finish([], "cleared"));
  redraw();

  stage.onpointerdown = (event) => {
    stage.setPointerCapture(event.pointerId);
    stage.focus({ preventScroll: true });
    stage.cursor = pointOf(event, drawing, data);
    stage.drawn = { radius: stage.radius, points: [stage.cursor] };
    redraw();
    event.preventDefault();
  };
  stage.onpointermove = (event) => {
    const point = pointOf(event, drawing, data);
    stage.cursor = point;
    if (stage.drawn) {
      const [x, y] = stage.drawn.points.at(-1);
      if (Math.hypot(point[0] - x, point[1] - y) >= stage.radius / 4) stage.drawn.points.push(point);
    }
    redraw();
  };
  stage.onpointerup = stage.onpointercancel = () => {
    if (stage.drawn) finish([...stage.strokes, stage.drawn], "painted");
  };
  stage.onkeydown = (event) => {
    const arrow = ARROWS[event.key];
    if (arrow) {
      stage.cursor = [
        within(stage.cursor[0] + arrow[0] * stage.radius, 0, data.width - 1e-3),
        within(stage.cursor[1] + arrow[1] * stage.radius, 0, data.height - 1e-3),
      ];
      const [across, down] = [stage.cursor[0] / data.width, stage.cursor[1] / data.height];
      said.textContent = `${Math.round(100 * across)}% from the left, ${Math.round(100 * down)}% from the top`;
      redraw();
    } else if (event.key === "Enter" || event.key === " ") {
      finish([...stage.strokes, { radius: stage.radius, points: [stage.cursor] }], "painted");
    } else if (event.key === "Backspace" || (event.key === "z" && (event.ctrlKey || event.metaKey))) {
      if (stage.strokes.length) finish(stage.strokes.slice(0, -1), "undone");
    } else return;
    event.preventDefault();
  };
}
