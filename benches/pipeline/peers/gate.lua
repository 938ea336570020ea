-- The checks of nginx-lua.conf. HMAC comes from the OpenSSL that nginx has loaded anyway, with its
-- context kept, since Debian has no Lua module that does it faster.
local ffi = require "ffi"
local json = require "cjson.safe"
local base64 = require "ngx.base64"
local lrucache = require "resty.lrucache"
local found, redis = pcall(require, "resty.redis")
if not found then
    redis = require "nginx.redis" -- its name in Debian
end

ffi.cdef [[
typedef struct hmac_ctx_st HMAC_CTX;
HMAC_CTX *HMAC_CTX_new(void);
const void *EVP_sha256(void);
int HMAC_Init_ex(HMAC_CTX *ctx, const char *key, int length, const void *digest, void *engine);
int HMAC_Update(HMAC_CTX *ctx, const char *data, size_t length);
int HMAC_Final(HMAC_CTX *ctx, unsigned char *signature, unsigned int *length);
]]

local crypto = ffi.C
local context = crypto.HMAC_CTX_new()
local signature, signature_length = ffi.new("unsigned char[64]"), ffi.new("unsigned int[1]")

-- Answers 0 (good), 1 (revoked) or 2 (over the limit).
local TAKE = [[
if redis.call('EXISTS', KEYS[1]) == 1 then return 1 end
local count = redis.call('INCR', KEYS[2])
if count == 1 then redis.call('PEXPIRE', KEYS[2], ARGV[2]) end
return count > tonumber(ARGV[1]) and 2 or 0
]]
local take_sha

local settings
local verified = lrucache.new(10000)
local gate = {}

function gate.configure(given)
    settings = given
    crypto.HMAC_Init_ex(context, settings.secret, #settings.secret, crypto.EVP_sha256(), nil)
end

local function hmac(message)
    crypto.HMAC_Init_ex(context, nil, 0, nil, nil)
    crypto.HMAC_Update(context, message, #message)
    crypto.HMAC_Final(context, signature, signature_length)
    return ffi.string(signature, signature_length[0])
end

local function verify(token)
    local message, payload, signed = token:match("^([^.]+%.([^.]+))%.([^.]+)$")
    if not message or base64.decode_base64url(signed) ~= hmac(message) then
        return nil
    end
    local claims = json.decode(base64.decode_base64url(payload))
    if not claims or claims.iss ~= settings.name or claims.aud ~= settings.name then
        return nil
    end
    return claims
end

local function claims_of(token)
    local claims = settings.cached and verified:get(token)
    if not claims then
        claims = verify(token)
        if claims and settings.cached then
            verified:set(token, claims)
        end
    end
    return claims and claims.exp > ngx.time() and claims or nil
end

local function has_role(claims, wanted)
    for _, role in ipairs(claims.roles) do
        if role == wanted then
            return true
        end
    end
    return false
end

local function ask(client, claims)
    take_sha = take_sha or client:script("load", TAKE)
    local answer, problem =
        client:evalsha(take_sha, 2, "revoked:" .. claims.jti, "limit:" .. claims.sub, 1000000, 1000)
    if problem and problem:find("NOSCRIPT", 1, true) then
        take_sha = nil
    end
    return answer
end

-- nil if Redis can't be asked.
local function take(claims)
    local client = redis:new()
    client:set_timeout(1000)
    if not client:connect("127.0.0.1", settings.redis_port) then
        return nil
    end
    local answer = ask(client, claims)
    client:set_keepalive(60000, 128)
    return answer
end

function gate.check()
    local token = (ngx.var.http_authorization or ""):match("^Bearer (.+)$")
    local claims = token and claims_of(token)
    if not claims then
        return ngx.exit(401)
    end
    if not has_role(claims, "user") then
        return ngx.exit(403)
    end
    local answer = take(claims)
    if answer ~= 0 then
        return ngx.exit(answer == 1 and 401 or answer == 2 and 429 or 503)
    end
    ngx.req.set_header("X-Forwarded-User", claims.sub)
end

return gate
