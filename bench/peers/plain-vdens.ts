/** Our vdens with `plainudp://` and `plainvxvde://` besides: as without `plain`, to peers not told that we are ours. */

const dist = new URL('../../dist/', import.meta.url);
const load = (path: string) => import(new URL(path, dist).href);
const [{ registerScheme }, { openUdp, udpScheme }, { openVxvde, vxvdeScheme }, { main }] = await Promise.all(
  ['plug/registry.js', 'plug/udp.js', 'plug/vxvde.js', 'cli/vdens.js'].map(load),
);
registerScheme({ ...udpScheme, name: 'plainudp', open: (locator: unknown) => openUdp(locator, false) });
registerScheme({
  ...vxvdeScheme,
  name: 'plainvxvde',
  open: (locator: unknown, options: unknown) => openVxvde(locator, options, false),
});
await main();
