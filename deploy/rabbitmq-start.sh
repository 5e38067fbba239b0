#!/bin/sh
# Starts the broker so that it asks the API who its senders are. Our own services log in with the broker's own user, everybody
# else is asked about.
set -eu

: "${ODOGRAPH_BROKER_KEY:?the key that the broker shows when it asks is not set}"

ask=http://api:8081/internal/rabbitmq
cat > /etc/rabbitmq/conf.d/20-odograph.conf <<CONF
auth_backends.1 = internal
auth_backends.2 = cache

# An answer is remembered that long, so one who is shut out gets in for as long still.
auth_cache.cached_backend = http
auth_cache.cache_ttl = 15000

auth_http.http_method = post
auth_http.user_path = $ask/user?key=$ODOGRAPH_BROKER_KEY
auth_http.vhost_path = $ask/vhost?key=$ODOGRAPH_BROKER_KEY
auth_http.resource_path = $ask/resource?key=$ODOGRAPH_BROKER_KEY
auth_http.topic_path = $ask/topic?key=$ODOGRAPH_BROKER_KEY

mqtt.allow_anonymous = false
# A device that asks for its message to be retained is not obeyed: nothing of what it sends stays with the broker.
mqtt.retained_message_store = rabbit_mqtt_retained_msg_store_noop
CONF
chmod 600 /etc/rabbitmq/conf.d/20-odograph.conf
chown rabbitmq /etc/rabbitmq/conf.d/20-odograph.conf
# All of them: what the image enables by itself, the metrics among it, is written over.
echo '[rabbitmq_management,rabbitmq_prometheus,rabbitmq_mqtt,rabbitmq_auth_backend_http,rabbitmq_auth_backend_cache].' > /etc/rabbitmq/enabled_plugins

exec docker-entrypoint.sh "$@"
