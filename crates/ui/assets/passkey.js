// Passkeys on our pages. A form says what it wants by data-passkey; what the browser answers goes into its hidden fields,
// and the form is sent as any other. Without this script, or without passkeys, such forms stay hidden.
'use strict';
{
  const bytes = (text) => Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0));
  const text = (buffer) => (buffer ? btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '') : '');
  const put = (form, name, value) => { form.elements.namedItem(name).value = value; };
  const prf = (form) => (form.dataset.salt ? { prf: { eval: { first: bytes(form.dataset.salt) } } } : {});
  const secret = (credential) => text(credential.getClientExtensionResults().prf?.results?.first);

  async function make(form) {
    const { challenge, party, site, user, name } = form.dataset;
    const credential = await navigator.credentials.create({ publicKey: {
      challenge: bytes(challenge),
      rp: { id: party, name: site },
      user: { id: bytes(user), name, displayName: name },
      pubKeyCredParams: [-8, -7, -257].map((alg) => ({ type: 'public-key', alg })),
      authenticatorSelection: { residentKey: 'required', userVerification: 'required' },
      excludeCredentials: (form.dataset.known ?? '').split(' ').filter(Boolean).map((id) => ({ type: 'public-key', id: bytes(id) })),
      attestation: 'none',
      extensions: prf(form),
    } });
    put(form, 'credential', text(credential.rawId));
    if (form.dataset.salt) return put(form, 'secret', secret(credential) || await ask(form, [text(credential.rawId)]));
    put(form, 'client_data', text(credential.response.clientDataJSON));
    put(form, 'authenticator_data', text(credential.response.getAuthenticatorData()));
    put(form, 'public_key', text(credential.response.getPublicKey()));
    put(form, 'algorithm', String(credential.response.getPublicKeyAlgorithm()));
  }

  const get = (form, known) => navigator.credentials.get({ publicKey: {
    challenge: bytes(form.dataset.challenge),
    rpId: form.dataset.party,
    userVerification: 'required',
    allowCredentials: known.map((id) => ({ type: 'public-key', id: bytes(id) })),
    extensions: prf(form),
  } });

  async function ask(form, known) {
    const found = secret(await get(form, known));
    if (!found) throw new Error('This passkey cannot open a key: its device has no secret for this site.');
    return found;
  }

  async function use(form) {
    const credential = await get(form, (form.dataset.known ?? '').split(' ').filter(Boolean));
    put(form, 'credential', text(credential.rawId));
    if (form.dataset.salt) {
      const found = secret(credential);
      if (!found) throw new Error('This passkey cannot open a key: its device has no secret for this site.');
      return put(form, 'secret', found);
    }
    put(form, 'client_data', text(credential.response.clientDataJSON));
    put(form, 'authenticator_data', text(credential.response.authenticatorData));
    put(form, 'signature', text(credential.response.signature));
  }

  const said = (error) => (error.name === 'NotAllowedError' ? 'No passkey was used. Try again, or go on without one.'
    : error.name === 'InvalidStateError' ? 'This device has a passkey for this place already.' : error.message);

  // browsers make passkeys for names, and for no addresses
  const able = window.PublicKeyCredential && !/^[\d.]+$|:/.test(location.hostname);
  for (const form of able ? document.querySelectorAll('form[data-passkey]') : []) {
    form.closest('[hidden]')?.removeAttribute('hidden');
    for (const button of form.querySelectorAll('[data-needs-passkey]')) button.hidden = false;
    form.addEventListener('submit', async (event) => {
      if (form.dataset.done || event.submitter?.dataset.plain !== undefined) return;
      event.preventDefault();
      const status = form.querySelector('[role=status]');
      status.textContent = '';
      try {
        await (form.dataset.passkey === 'make' ? make(form) : use(form));
        form.dataset.done = 'yes';
        form.requestSubmit(event.submitter);
      } catch (error) {
        status.textContent = said(error);
      }
    });
  }
}
