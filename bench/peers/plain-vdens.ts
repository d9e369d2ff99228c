/** Our vdens with one more scheme: `plainudp://`, which is `udp://` to a peer that is not told that we are ours. */

const dist = new URL('../../dist/', import.meta.url);
const load = (path: string) => import(new URL(path, dist).href);
const [{ registerScheme }, { openUdp, udpScheme }, { main }] = await Promise.all(
  ['plug/registry.js', 'plug/udp.js', 'cli/vdens.js'].map(load),
);
registerScheme({ ...udpScheme, name: 'plainudp', open: (locator: unknown) => openUdp(locator, false) });
await main();
