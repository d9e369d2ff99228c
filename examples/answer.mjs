// Answers ARP and ping for an address on a network: `node examples/answer.mjs [LOCATOR [ADDRESS]]`.
import * as vde from 'vde';

const [locator = 'vxvde://', address = '10.0.0.9'] = process.argv.slice(2);
const me = { senderMac: vde.parseMac('02:00:00:00:00:09'), senderIp: vde.parseIpv4Address(address) };
const end = await vde.open(locator);
console.log(`${address} is on ${locator}`);
for await (const frame of end) {
  const { src, type, payload } = vde.parseEthernet(frame) ?? {};
  const answer = (bytes) => end.send(vde.writeEthernet({ dst: src, src: me.senderMac, type, payload: bytes }));
  const arp = type === vde.EtherType.arp && vde.parseArp(payload);
  const ip = type === vde.EtherType.ipv4 && vde.parseIpv4(payload);
  const echo = ip?.dst === me.senderIp && ip.protocol === vde.IpProtocol.icmp && vde.parseIcmpv4(ip.payload);
  if (arp?.operation === 'request' && arp.targetIp === me.senderIp) {
    answer(vde.writeArp({ operation: 'reply', ...me, targetMac: arp.senderMac, targetIp: arp.senderIp }));
  } else if (echo?.kind === 'echo-request') {
    const reply = vde.writeIcmpv4({ ...echo, kind: 'echo-reply' });
    answer(vde.writeIpv4({ ...ip, src: ip.dst, dst: ip.src, payload: reply }));
  }
}
