export type Cell = string | number | null;

export interface Table {
  caption: string;
  columns: { name: string; title?: string; numeric?: boolean }[];
  rows: Cell[][];
}

/** Comma-separated values (RFC 4180). A cell that a spreadsheet would run as a formula is quoted. */
export function toCsv(table: Table): string {
  const cell = (value: Cell): string => {
    if (value === null || (typeof value === 'number' && Number.isNaN(value))) return '';
    if (typeof value === 'number') return String(value);
    const safe = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
    return /[",\r\n]/.test(safe) ? `"${safe.replace(/"/g, '""')}"` : safe;
  };
  return [table.columns.map((c) => c.name), ...table.rows].map((row) => row.map(cell).join(',')).join('\r\n') + '\r\n';
}
