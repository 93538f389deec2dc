// The lessons beside this page, in a gallery.

// The lessons before and after this one, and what is learned here; only in a gallery.
function drawLesson(app, told) {
  const { say, data, state } = app;
  const { lesson } = data;
  byId("lesson").hidden = byId("learned").hidden = !lesson;
  if (!lesson) return;
  const link = (to, text, rel) => el("a", { href: `${to}#lang=${state.lang}`, text, rel });
  const { previous, next } = lesson;
  byId("lesson").setAttribute("aria-label", say.lessons);
  byId("lesson").replaceChildren(
    previous ? link(previous.href, `← ${told(previous.title)}`, "prev") : el("span"),
    el("a", { href: lesson.home[state.lang], text: say.lesson(lesson.number, lesson.count) }),
    next ? link(next.href, `${told(next.title)} →`, "next") : el("span"),
  );
  byId("learned").replaceChildren(el("b", { text: say.learned }), " ", ...prose(told(lesson.learned)));
}

// A note in which the titles of other lessons lead to them.
function linked(app, text) {
  const { data, state } = app;
  for (const { href, title } of data.lesson?.links ?? []) {
    const quoted = `“${title[state.lang]}”`;
    const at = text.indexOf(quoted);
    if (at >= 0)
      return [
        ...prose(text.slice(0, at)),
        el("a", { href: `${href}#lang=${state.lang}`, text: quoted }),
        ...prose(text.slice(at + quoted.length)),
      ];
  }
  return prose(text);
}
