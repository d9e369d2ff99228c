/**
 * The library's face.
 *
 *     import { open } from 'vde';
 *
 *     const end = await open('vde:///tmp/sw');
 *     for await (const frame of end) end.send(frame);
 */

import { registerNodeSchemes } from './console/schemes.js';
import { registerCryptoSchemes } from './crypto/schemes.js';

export {
  ConsoleClient,
  type ConsoleClientEvents,
  type ConsoleEvent,
  type ConsoleOptions,
  type ConsoleReply,
  openConsole,
} from './console/client.js';
export type { ConsoleCommand } from './console/command-table.js';
export type { PluginDefinition, PluginHost, PluginParts } from './console/plugin-host.js';
export { type ArpPacket, parseArp, writeArp } from './frame/arp.js';
export { Burst } from './frame/burst.js';
export { type EthernetFrame, EtherType, parseEthernet, writeEthernet } from './frame/ethernet.js';
export { type IcmpEcho, parseIcmpv4, writeIcmpv4 } from './frame/icmp.js';
export {
  formatIpv4Address,
  IpProtocol,
  type Ipv4Packet,
  parseIpv4,
  parseIpv4Address,
  writeIpv4,
} from './frame/ipv4.js';
export { formatMac, type MacAddress, parseMac } from './frame/mac.js';
export { PlugBase } from './plug/base.js';
export { End, type EndEvents, open } from './plug/end.js';
export { parsePath, parseSlash } from './plug/locator.js';
export { type ParamSpec, readParams } from './plug/params.js';
export type { Adoptable, Drops, Plug, Sink } from './plug/plug.js';
export { listSchemes, openPlug, registerScheme } from './plug/registry.js';
export type { ResolvedLocator } from './plug/resolve.js';
export type { OpenOptions, Scheme } from './plug/scheme.js';
export { openInner, WrapperPlug } from './plug/wrapper.js';
export type { ObservedViews, SwitchObserver } from './switch/observer.js';
export { type ServiceOptions, SwitchService } from './switch/service.js';
export { VdeError, type VdeErrorDetails } from './sys/errors.js';

registerNodeSchemes();
registerCryptoSchemes();
