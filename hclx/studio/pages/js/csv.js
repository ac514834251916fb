// Tables as files for spreadsheets. Pure functions.

const BOM = "\ufeff"; // by which spreadsheets know UTF-8
// A spreadsheet takes a cell that begins with one of these for a formula; full-width ones are read alike.
const FORMULA = /^[=+\-@\t\r\n＝＋－＠]/;

export const safeCell = (text) => (FORMULA.test(text) ? `'${text}` : text);

function cellOf(value) {
  const text = safeCell(String(value ?? ""));
  return /[",\r\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
}

// Returns CSV with a byte order mark. columns: names; rows: lists of as many values.
export const csvOf = (columns, rows) => BOM + [columns, ...rows].map((row) => `${row.map(cellOf).join(",")}\r\n`).join("");
