export declare function mark(): Record<string, string>;
export declare function marked(env: Record<string, string>): { pid: number; command: string }[];
export declare function endMarked(
  env: Record<string, string>,
  grace?: number,
): Promise<{ pid: number; command: string }[]>;
