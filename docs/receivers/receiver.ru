# A receiver of webhooks in Ruby, for any server that runs Rack: WEBHOOK_SECRETS="whsec_…" rackup receiver.ru
require "openssl"

TOLERANCE = 300 # seconds that the clocks may differ
LARGEST = 1024 * 1024

def key_of(secret)
  key = secret.start_with?("whsec_") ? secret.delete_prefix("whsec_").unpack1("m") : secret
  raise "WEBHOOK_SECRETS has an empty secret in it" if key.empty? # Anybody could sign with it.

  key
end

KEYS = ENV.fetch("WEBHOOK_SECRETS").split.map { |one| key_of(one) }
raise "WEBHOOK_SECRETS has no secret in it" if KEYS.empty?

def authentic?(id, timestamp, given, body)
  return false if id.nil? || given.nil? || !/\A\d{1,11}\z/.match?(timestamp.to_s)
  return false if (Time.now.to_i - timestamp.to_i).abs > TOLERANCE

  signed = "#{id}.#{timestamp}.".b + body
  expected = KEYS.map { |key| "v1," + [OpenSSL::HMAC.digest("SHA256", key, signed)].pack("m0") }
  given.split(" ").any? { |one| expected.any? { |other| OpenSSL.secure_compare(one, other) } }
end

def receive(env)
  return 405 unless env["REQUEST_METHOD"] == "POST"

  body = env["rack.input"]&.read(LARGEST + 1) || "" # The bytes as they came.
  return 413 if body.bytesize > LARGEST

  id = env["HTTP_WEBHOOK_ID"]
  return 401 unless authentic?(id, env["HTTP_WEBHOOK_TIMESTAMP"], env["HTTP_WEBHOOK_SIGNATURE"], body)

  warn "#{id}: #{env["HTTP_HOOK_EVENT"]}" # Put it into a queue; drop an id that you know.
  204
end

run ->(env) { [receive(env), {}, []] }
