// What the scripts share: a browser of forms and cookies, and plain words for failures.
import assert from 'node:assert/strict';
import { execSync } from 'node:child_process';

/**
 * Chromium as the system has it; a slow machine has a minute for everything that a page must show. Names that exist in a story alone lead to
 * `hosts` ("MAP as.example 127.0.0.1:8443, ..."), whose certificates are of an authority of the story.
 */
export async function launch(hosts) {
  const { chromium } = await import('playwright-core');
  const executablePath = ['chromium', 'chromium-browser', 'google-chrome'].map((name) => {
    try { return execSync(`command -v ${name}`, { encoding: 'utf8' }).trim(); } catch { return ''; }
  }).find(Boolean);
  const args = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
  if (hosts) args.push(`--host-resolver-rules=${hosts}`, '--ignore-certificate-errors');
  const browser = await chromium.launch({ executablePath, args, timeout: 120_000 });
  const newContext = browser.newContext.bind(browser);
  browser.newContext = async (options) => {
    const context = await newContext(options);
    context.setDefaultTimeout(60_000);
    return context;
  };
  return browser;
}

/** Follows our pages with fetch: cookies, redirects, the first form that leads to `action`. */
export class Person {
  cookies = new Map();

  async open(url, init = {}, stopAt) {
    for (let n = 0; n < 12; n++) {
      if (stopAt && url.startsWith(stopAt)) return { url, html: '' };
      const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
      const answer = await fetch(url, { redirect: 'manual', ...init, headers: { ...init.headers, cookie } });
      for (const line of answer.headers.getSetCookie()) {
        const [name, value] = line.split(';')[0].split('=');
        this.cookies.set(name, value);
      }
      const next = answer.headers.get('location');
      if (!next) return { url, html: await answer.text(), status: answer.status };
      url = new URL(next, url).href;
      init = {};
    }
    throw new Error(`${url} redirects in a circle`);
  }

  async submit(page, action, fields, stopAt) {
    const form = page.html.split('<form ').slice(1).find((text) => text.split('"').some((part) => part.includes(action)));
    assert.ok(form, `${page.url} has no form for ${action}: ${page.html}`);
    const text = (tag, name) => (tag.match(new RegExp(`${name}="([^"]*)"`)) ?? [])[1]?.replaceAll('&#38;', '&').replaceAll('&#34;', '"') ?? '';
    const body = new URLSearchParams();
    for (const input of form.split('</form>')[0].matchAll(/<input type="hidden"[^>]*>/g)) body.append(text(input[0], 'name'), text(input[0], 'value'));
    for (const [name, value] of Object.entries(fields)) body.append(name, value);
    const target = new URL(text(form, 'action'), page.url).href;
    return this.open(target, { method: 'POST', body, headers: { 'content-type': 'application/x-www-form-urlencoded' } }, stopAt);
  }

  /** Logs in and agrees on the way from an authorization URL to the redirect URI. */
  async authorize(url, username, password, redirectUri) {
    let page = await this.open(url, {}, redirectUri);
    if (page.html.includes('name="password"')) page = await this.submit(page, '/login', { username, password }, redirectUri);
    if (page.html.includes('/authorize/decision')) page = await this.submit(page, '/authorize/decision', { decision: 'approve' }, redirectUri);
    assert.ok(page.url.startsWith(redirectUri), `${page.url}: ${page.html}`);
    return new URL(page.url);
  }
}
