# Ruby's mysql2.
require 'mysql2'

client = Mysql2::Client.new(
  host: ENV['G_HOST'], port: ENV['G_PORT'].to_i, username: ENV['G_USER'], password: ENV['G_TOKEN'], database: 'shop',
  sslca: ENV['G_CA'], ssl_mode: :required
)
id, mark = ENV['G_ID'].to_i, ENV['G_MARK']
if ARGV[0] == 'prepared'
  read = -> { client.prepare('SELECT status FROM orders WHERE id = ?').execute(id).first['status'] }
  write = -> { client.prepare('UPDATE orders SET status = ? WHERE id = ?').execute(mark, id) }
else
  read = -> { client.query("SELECT status FROM orders WHERE id = #{id}").first['status'] }
  write = -> { client.query("UPDATE orders SET status = '#{client.escape(mark)}' WHERE id = #{id}") }
end
puts "read:#{read.call}"
begin
  write.call
rescue Mysql2::Error => error
  puts "refused:#{error.error_number}:#{error.message}"
end
client.query("CALL safeconsole.elevate('clients', 'OPS-1', 'shop')")
client.abandon_results! if client.respond_to?(:abandon_results!)
write.call
puts "saw:#{read.call}"
client.close
