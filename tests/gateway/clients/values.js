// Prints every value of a query as mysql2 reads it: node values.js query|execute SOCKET USER QUERY
const mysql = require('mysql2/promise');
const [how, socketPath, user, query] = process.argv.slice(2);

(async () => {
  const connection = await mysql.createConnection({
    socketPath, user, database: 'shop', supportBigNumbers: true, bigNumberStrings: true, dateStrings: true, rowsAsArray: true,
    // A MariaDB says beside the type of a text that it is JSON; a gateway offers nothing that the protocol itself has not.
    jsonStrings: true,
  });
  const [rows, fields] = await connection[how](query, [0]);
  for (const field of fields) console.log(field.name, field.columnType, field.flags, field.decimals);
  for (const row of rows) {
    for (const value of row) {
      console.log(typeof value, Buffer.isBuffer(value) ? value.toString('hex') : JSON.stringify(value));
    }
  }
  await connection.end();
})().catch((error) => { console.error(error); process.exit(1); });
