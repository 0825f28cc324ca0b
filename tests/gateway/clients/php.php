<?php // mysqli and PDO through a gateway: php php.php SOCKET ID
[$_, $socket, $id] = $argv;
$said = [];
mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
$mysqli = new mysqli(null, 'x', '', 'shop', 0, $socket);
$mysqli->set_charset('utf8mb4');
$asked = $mysqli->prepare('SELECT id FROM orders WHERE id = ? OR status = ?');
$number = 3;
$text = "it's";
$asked->bind_param('is', $number, $text);
$asked->execute();
$said['mysqli'] = $asked->get_result()->fetch_all();
try {
    $mysqli->query("UPDATE orders SET status = 'php' WHERE id = $id");
} catch (mysqli_sql_exception $e) {
    $said['refused'] = [$e->getCode(), $e->getMessage()];
}
foreach ([1, 0] as $emulated) {
    $pdo = new PDO("mysql:unix_socket=$socket;dbname=shop", 'x', '', [
        PDO::ATTR_EMULATE_PREPARES => $emulated, PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION,
    ]);
    $pdo->exec("set session sql_mode='STRICT_TRANS_TABLES'");
    $asked = $pdo->prepare('SELECT id FROM orders WHERE id = ?');
    $asked->execute([4]);
    $said["read$emulated"] = $asked->fetchAll(PDO::FETCH_NUM);
    try {
        $pdo->prepare('UPDATE orders SET status = ? WHERE id = ?')->execute(['php', $id]);
    } catch (PDOException $e) {
        $said["refused$emulated"] = [$e->errorInfo[1], $e->getMessage()];
    }
    $pdo->query("CALL safeconsole.elevate('a script')");
    $pdo->beginTransaction();
    $change = $pdo->prepare('UPDATE orders SET status = ? WHERE id = ?');
    $change->execute(['php' . rand(), $id]);
    $said["changed$emulated"] = $change->rowCount();
    $pdo->commit();
}
echo json_encode($said);
