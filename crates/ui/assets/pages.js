// @ts-check
// What a server's pages do beyond HTML: copying a link, and telling the server in which time zone its reader lives.
'use strict';
{
  /** The name of the cookie in which the server finds the zone. */
  const zone = document.querySelector('data[data-zone]');
  const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone instanceof HTMLDataElement && here) {
    const secure = location.protocol === 'https:' ? '; Secure' : '';
    document.cookie = `${zone.value}=${here}; Path=/; SameSite=Lax; Max-Age=31536000${secure}`;
  }

  for (const button of document.querySelectorAll('button[data-copy]')) {
    if (!(button instanceof HTMLButtonElement) || !navigator.clipboard) continue;
    const field = document.getElementById(button.dataset.copy ?? '');
    if (!(field instanceof HTMLInputElement)) continue;
    const before = button.textContent;
    button.hidden = false;
    button.addEventListener('click', async () => {
      try {
        await navigator.clipboard.writeText(field.value);
        button.textContent = 'Copied';
      } catch {
        field.select();
        button.textContent = 'Copy what is selected';
      }
      setTimeout(() => { button.textContent = before; }, 3000);
    });
  }

  // Undo is offered for a moment; whoever is about to press it has more
  for (const form of document.querySelectorAll('form[data-undo]')) {
    const go = () => {
      if (form.matches(':focus-within, :hover')) setTimeout(go, 2000);
      else form.remove();
    };
    setTimeout(go, 10000);
  }

  // whoever types a date means it
  for (const field of document.querySelectorAll('input[type=date][data-means]')) {
    field.addEventListener('input', () => {
      const choice = field.closest('form')?.querySelector('input[name=for][value=date]');
      if (choice instanceof HTMLInputElement) choice.checked = true;
    });
  }
}
