// Node's mysql2: `query` sends text, `execute` prepares.
const fs = require('fs');
const mysql = require('mysql2/promise');
const env = process.env;

(async () => {
  const how = process.argv[2];
  const connection = await mysql.createConnection({
    host: env.G_HOST, port: +env.G_PORT, user: env.G_USER, password: env.G_TOKEN, database: 'shop',
    ssl: { ca: fs.readFileSync(env.G_CA), servername: 'localhost' },
  });
  const read = async () => (await connection[how]('SELECT status FROM orders WHERE id = ?', [+env.G_ID]))[0][0].status;
  const write = () => connection[how]('UPDATE orders SET status = ? WHERE id = ?', [env.G_MARK, +env.G_ID]);
  console.log(`read:${await read()}`);
  try { await write(); } catch (error) { console.log(`refused:${error.errno}:${error.message}`); }
  await connection.query("CALL safeconsole.elevate('clients', 'OPS-1', 'shop')");
  await write();
  console.log(`saw:${await read()}`);
  await connection.end();
})().catch((error) => { console.error(error); process.exit(1); });
