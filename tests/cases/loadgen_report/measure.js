// Runs inside the report: finds what a reader would call broken, one line for each.
addEventListener('load', () => {
  // What a reader may open has to look right, too.
  document.querySelectorAll('details').forEach(e => { e.open = true; });
  const found = [];
  const width = document.documentElement.clientWidth;
  const name = e => (e.textContent || e.className || e.tagName).trim().slice(0, 60);
  const visible = e => e.checkVisibility();
  const rounded = r => [r.left, r.top, r.right, r.bottom].map(Math.round).join(' ');

  if (document.title === 'run') found.push('a name ran as a script');
  if (document.documentElement.scrollWidth > width) found.push('the page is wider than the screen');

  // Only what scrolls in its own box may reach beyond the screen.
  for (const e of document.querySelectorAll('body *')) {
    if (!visible(e) || e.closest('svg') || e.parentElement.closest('.scroll')) continue;
    const r = e.getBoundingClientRect();
    if (r.right > width + 0.5 || r.left < -0.5)
      found.push(`${e.tagName} ${name(e)} is wider than the screen: ${rounded(r)}`);
  }

  // Blocks of text that are not inside each other.
  const blocks = [...document.querySelectorAll('h1,h2,h3,p,dt,dd,li,table,pre,summary,.wide,.narrow')]
    .filter(e => visible(e) && !e.closest('.scroll') || e.matches('.scroll'));
  overlaps(blocks, 'block');

  for (const figure of document.querySelectorAll('figure')) {
    const plots = [...figure.querySelectorAll('svg[role=img]')].filter(visible);
    if (plots.length !== 1) found.push(`${name(figure)} shows ${plots.length || 'no'} plots`.replace('no plots', 'no plot'));
    for (const plot of plots) {
      const box = plot.getBoundingClientRect();
      const texts = [...plot.querySelectorAll('text')];
      for (const text of texts) {
        const r = text.getBoundingClientRect();
        if (r.left < box.left - 0.5 || r.right > box.right + 0.5 || r.top < box.top - 0.5 || r.bottom > box.bottom + 0.5)
          found.push(`${name(text)} is outside its plot: ${rounded(r)} in ${rounded(box)}`);
        const size = 12 * box.width / plot.viewBox.baseVal.width;
        if (size < 10) { found.push(`text of ${size.toFixed(1)} px is too small`); break; }
      }
      overlaps(texts, 'label');
      for (const shape of plot.querySelectorAll('path,rect')) {
        const r = shape.getBoundingClientRect();
        if (r.left < box.left - 2 || r.right > box.right + 2 || r.top < box.top - 2 || r.bottom > box.bottom + 2)
          found.push(`${shape.className.baseVal} is outside its plot: ${rounded(r)} in ${rounded(box)}`);
      }
    }
  }

  function overlaps(list, what) {
    const boxes = list.map(e => [e, e.getBoundingClientRect()]);
    boxes.forEach(([e, a], i) => boxes.slice(i + 1).forEach(([f, b]) => {
      if (e.contains(f) || f.contains(e)) return;
      const over = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (over > 0.5 && down > 0.5)
        found.push(`${what} ${name(e)} overlaps ${name(f)}: ${rounded(a)} and ${rounded(b)}`);
    }));
  }

  parent.postMessage(found.slice(0, 40).join('\n'), '*');
});
