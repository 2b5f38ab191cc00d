// A click, or arrow keys and Enter, choose a cell of a grid; Python gets a point in image pixels.
export default function ({ data, parentElement, setStateValue }) {
  const { stage, drawing, said } = stageOf(parentElement, data);
  const step = data.step;
  const middle = ([x, y]) => [(Math.floor(x / step) + 0.5) * step, (Math.floor(y / step) + 0.5) * step];
  const cell = ([x, y]) => ({ x: Math.floor(x / step) * step, y: Math.floor(y / step) * step });
  const named = ([x, y]) => `row ${Math.floor(y / step) + 1}, column ${Math.floor(x / step) + 1}`;
  const place = (name, point) => {
    for (const part of [`${name}-edge`, name]) draw(drawing, part, { ...cell(point), width: step, height: step });
  };

  lines();
  place("chosen", data.point);
  stage.cursor = stage.cursor ?? middle(data.point);
  place("cursor", stage.cursor);

  function lines() {
    let path = "";
    for (let x = step; x < data.width; x += step) path += `M${x} 0V${data.height}`;
    for (let y = step; y < data.height; y += step) path += `M0 ${y}H${data.width}`;
    draw(drawing, "grid", { d: path }, "path");
  }
  function choose(point) {
    stage.cursor = middle(point);
    place("cursor", stage.cursor);
    place("chosen", stage.cursor);
    said.textContent = `${named(stage.cursor)} chosen`;
    setStateValue("point", stage.cursor);
  }
  stage.onpointerdown = (event) => {
    stage.focus({ preventScroll: true });
    choose(pointOf(event, drawing, data));
    event.preventDefault();
  };
  stage.onkeydown = (event) => {
    const arrow = ARROWS[event.key];
    if (arrow) {
      const [x, y] = stage.cursor;
      stage.cursor = [
        within(x + arrow[0] * step, step / 2, data.width - step / 2),
        within(y + arrow[1] * step, step / 2, data.height - step / 2),
      ];
      place("cursor", stage.cursor);
      said.textContent = named(stage.cursor);
    } else if (event.key === "Enter" || event.key === " ") choose(stage.cursor);
    else return;
    event.preventDefault();
  };
}
