/** What the interfaces of a namespace are given on the command line, and how `ip` is told. */

import { isIPv4, isIPv6 } from 'node:net';
import { VdeError } from '../sys/errors.js';
import { MTU_MAX, MTU_MIN, readAddress, readInterfaceMac, settingLines } from '../sys/interface-settings.js';

/** Longest name of an interface, in bytes. */
const NAME_MAX = 15;

/** An interface to be made. */
export interface InterfacePlan {
  name: string;
  /** With prefix length: `10.0.0.1/24`. */
  addresses: string[];
  /** Next hop of the default route. */
  gateways: string[];
  mac?: string;
  /** In bytes of payload. */
  mtu?: number;
  up: boolean;
  dhcp: boolean;
}

/** The options that concern interfaces, in the order given. */
export interface InterfaceOptions {
  prefix: string;
  ip: readonly string[];
  mac: readonly string[];
  mtu: readonly string[];
  up: boolean;
  /** Interfaces that `--dhcp` names; an empty string stands for all without an address. */
  dhcp: readonly string[];
}

function refuse(option: string, text: string, cause: string, remedy?: string): VdeError {
  return new VdeError({ code: 'EUSAGE', subject: `${option} ${text}`.trim(), cause, remedy });
}

/**
 * Plans `count` interfaces, PREFIX0 and so on.
 * @throws VdeError `EUSAGE` for values that make no sense or name an interface that there will not be.
 */
export function planInterfaces(count: number, options: InterfaceOptions): InterfacePlan[] {
  const { prefix, up } = options;
  const plans = Array.from({ length: count }, (_, i): InterfacePlan => {
    const name = `${prefix}${i}`;
    if (Buffer.byteLength(name) > NAME_MAX || /[\s/\0%:]/.test(name) || prefix === '') {
      const remedy = `with its number at most ${NAME_MAX} bytes, without blanks, /, % and :`;
      throw refuse('--iface', prefix, `"${name}" cannot be the name of an interface`, remedy);
    }
    return { name, addresses: [], gateways: [], up, dhcp: false };
  });
  for (const [option, values, apply] of [
    ['--ip', options.ip, addAddress],
    ['--mac', options.mac, setMac],
    ['--mtu', options.mtu, setMtu],
  ] as const) {
    let next = 0;
    for (const text of values) {
      const { plan, value } = choose(plans, option, text, next);
      if (value === text) next++;
      apply(plan, value, text);
    }
  }
  for (const name of options.dhcp) {
    const chosen = name === '' ? plans.filter((plan) => plan.addresses.length === 0) : [find(plans, '--dhcp', name)];
    if (chosen.length === 0) throw refuse('--dhcp', '', 'there is no interface without an address');
    for (const plan of chosen) plan.dhcp = plan.up = true;
  }
  return plans;
}

/** The interface that a value is for: the one it names (`vde1=...`), else the next. */
function choose(plans: InterfacePlan[], option: string, text: string, next: number) {
  const [, name, value] = /^([^=,/]+)=(.*)$/.exec(text) ?? [];
  if (name !== undefined) return { plan: find(plans, option, name), value };
  if (next < plans.length) return { plan: plans[next], value: text };
  const there = plans.length === 0 ? 'none' : plans.map((plan) => plan.name).join(', ');
  throw refuse(option, text, `there is no interface left for it (there is ${there})`, 'name one: INTERFACE=VALUE');
}

function find(plans: InterfacePlan[], option: string, name: string): InterfacePlan {
  const plan = plans.find((one) => one.name === name);
  if (plan) return plan;
  const there = plans.map((one) => one.name).join(', ') || 'none';
  throw refuse(option, name, `there will be no interface ${name}`, `there is ${there}`);
}

function addAddress(plan: InterfacePlan, value: string, text: string): void {
  const [network, ...rest] = value.split(',');
  const { version, address } = readAddress(network, (cause, remedy) => refuse('--ip', text, cause, remedy));
  plan.addresses.push(address);
  for (const extra of rest) {
    const gateway = /^gw=(.*)$/.exec(extra)?.[1];
    if (gateway === undefined)
      throw refuse('--ip', text, `"${extra}" is not understood`, 'ADDRESS[/LENGTH][,gw=ADDRESS]');
    if (!(version === 4 ? isIPv4 : isIPv6)(gateway) || gateway.includes('%')) {
      throw refuse('--ip', text, `"${gateway}" is not an IPv${version} address`);
    }
    plan.gateways.push(gateway);
  }
  plan.up = true;
}

function setMac(plan: InterfacePlan, value: string, text: string): void {
  plan.mac = readInterfaceMac(value, (cause, remedy) => refuse('--mac', text, cause, remedy));
}

function setMtu(plan: InterfacePlan, value: string, text: string): void {
  if (!/^\d{1,6}$/.test(value) || Number(value) < MTU_MIN || Number(value) > MTU_MAX) {
    throw refuse('--mtu', text, `"${value}" is not an MTU`, `${MTU_MIN} to ${MTU_MAX}`);
  }
  plan.mtu = Number(value);
}

/** The lines for `ip -batch -` that make it so; none if nothing was asked for. */
export function ipBatch(plans: readonly InterfacePlan[], loopback: boolean): string[] {
  return [
    ...(loopback ? ['link set dev lo up'] : []),
    ...plans.flatMap((plan) => [
      ...settingLines(plan.name, plan, true),
      ...plan.gateways.map(
        (one) => `route add ${one.includes(':') ? '::/0' : '0.0.0.0/0'} via ${one} dev ${plan.name}`,
      ),
    ]),
  ];
}
