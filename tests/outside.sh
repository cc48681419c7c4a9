#!/bin/sh
# Check and read a desk without vrt, as docs/FORMAT.md says: with git, ssh-keygen, age, zcat and coreutils alone.
#
#   outside.sh DESK IDENTITY HANDLE TICKET [EVENT]
#
# DESK is the bare repository, IDENTITY the age identity (or SSH key) of the card HANDLE. Checks every commit of
# both branches, then prints the article EVENT of TICKET (by default its first one) and, if it is a mail, its original.
set -eu
desk=$1 identity=$2 handle=$3 ticket=$4 event=${5-}
export GIT_DIR="$desk" GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null LC_ALL=C
umask 077
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
fail() { echo "outside: $*" >&2; exit 1; }

# --- signatures (2.2, 2.5): every commit of both branches, against the ledger's own list; author = committer = signer
git show main:allowed_signers > "$tmp/signers"
checked=0
for branch in main keys; do
  [ "$(git rev-list --count --merges $branch)" = 0 ] || fail "$branch has merges"
  git rev-list --reverse $branch > "$tmp/commits"
  while read -r commit; do
    git cat-file commit "$commit" > "$tmp/commit"
    # The signature is the gpgsig header, its further lines begin with a space; the signed bytes are all the rest.
    end=$(grep -n -m 1 '^$' "$tmp/commit" | cut -d : -f 1)
    start=$(head -n "$end" "$tmp/commit" | grep -n -m 1 '^gpgsig ' | cut -d : -f 1) || fail "$commit is not signed"
    after=$(head -n "$end" "$tmp/commit" | tail -n +$((start + 1)) | grep -n -m 1 -v '^ ' | cut -d : -f 1)
    last=$((start + after - 1))
    head -n $last "$tmp/commit" | tail -n +$start | cut -c 8- | head -n 1 > "$tmp/sig"
    head -n $last "$tmp/commit" | tail -n +$((start + 1)) | cut -c 2- >> "$tmp/sig"
    { head -n $((start - 1)) "$tmp/commit"; tail -n +$((last + 1)) "$tmp/commit"; } > "$tmp/payload"
    author=$(git log -1 --format=%ae "$commit")
    [ "$(git log -1 --format='%an <%ae>' "$commit")" = "${author%%@*} <$author>" ] || fail "$commit: author"
    [ "$(git log -1 --format='%cn <%ce>' "$commit")" = "${author%%@*} <$author>" ] || fail "$commit: committer"
    ssh-keygen -Y verify -f "$tmp/signers" -I "$author" -n git -s "$tmp/sig" < "$tmp/payload" > /dev/null 2>&1 ||
      fail "$commit: no good signature of $author"
    checked=$((checked + 1))
  done < "$tmp/commits"
  # And once more as git sees it.
  if git -c gpg.ssh.allowedSignersFile="$tmp/signers" -c gpg.format=ssh log --format=%G? $branch | grep -qv '^G$'; then
    fail "git does not call every signature of $branch good"
  fi
done
echo "$checked signatures are good"

# --- the keyring's root is the one that the ledger names (5), and every file has its hash in its name
root=$(git log --format='%(trailers:key=Keyring,valueonly)' main | grep -m 1 .)
[ "$(git rev-list --max-parents=0 keys)" = "$root" ] || fail "the keyring has another root"
git ls-tree -r --name-only keys > "$tmp/files"
while read -r path; do
  name=${path%.age}
  hash=$(git cat-file blob "keys:$path" | sha256sum | cut -c 1-8)
  [ "${name##*.}" = "$hash" ] || fail "$path is not what its name says"
done < "$tmp/files"

# --- a number (2.1): the check digit, and the folder
digits=${ticket%?} sum=0 weight=1
while [ -n "$digits" ]; do
  rest=${digits#?}
  sum=$((sum + weight * ${digits%"$rest"})) weight=$((3 - weight)) digits=$rest
done
check=$((10 - sum % 10))
[ $check -ne 10 ] || check=1
[ "$check" = "${ticket#"${ticket%?}"}" ] || fail "$ticket has a wrong check digit"
day=$(printf %s "$ticket" | cut -c 1-8)
bucket=$(printf %s "$ticket" | tail -c 6 | cut -c 1-3)
folder=tickets/$(printf %s "$day" | cut -c 1-4)/$(printf %s "$day" | cut -c 5-6)/$(printf %s "$day" | cut -c 7-8)
folder=$folder/$bucket/$ticket

# --- the ticket's queue is that of the last event which carries one (2.4)
queue=$(git log --format='%(trailers:key=Queue,valueonly)' main -- "$folder" | grep -m 1 .)
echo "$ticket is in $queue"
if [ -z "$event" ]; then # the first that said something, in the order of the ledger
  event=$(git log --reverse --diff-filter=A --name-only --format= main -- "$folder" | grep -m 1 '\.md\.age$')
  event=${event##*/} event=${event%.md.age}
fi

# --- keys (8): the card opens the queue, the queue opens the article's identity; try all candidates (5)
opens() { # KEY PATHS...: print what the first of the keyring's files that KEY opens holds
  key=$1
  shift
  for path; do
    if git cat-file blob "keys:$path" | age -d -i "$key" > "$tmp/opened" 2> /dev/null; then
      zcat < "$tmp/opened" 2> /dev/null && return
    fi
  done
  return 1
}
git ls-tree --name-only "keys:queues/$queue" | grep "^[0-9]*\.$handle\." | sed "s,^,queues/$queue/," > "$tmp/names"
# shellcheck disable=SC2046
opens "$identity" $(cat "$tmp/names") > "$tmp/queue.key" || fail "$handle does not hold the key of $queue"
git ls-tree --name-only "keys:$folder" | grep "^$event\.$queue\." | sed "s,^,$folder/," > "$tmp/names"
# shellcheck disable=SC2046
opens "$tmp/queue.key" $(cat "$tmp/names") > "$tmp/article.key" || fail "the key of $event is not there for $queue"

# --- the article (3, 4): age of padded gzip; it must say itself where it belongs
git cat-file blob "main:$folder/$event.md.age" | age -d -i "$tmp/article.key" > "$tmp/packed"
zcat < "$tmp/packed" > "$tmp/article.md" || fail "$event cannot be read"
sed '2,/^---$/!d' "$tmp/article.md" > "$tmp/front"
grep -Eq "(^|[{ ])ticket: '$ticket'(,|$)" "$tmp/front" || fail "$event belongs to another ticket"
grep -Eq "(^|[{ ])event: $event(,|$)" "$tmp/front" || fail "$event belongs to another event"
echo "--- article"
cat "$tmp/article.md"
if git cat-file -e "main:$folder/$event.eml.age" 2> /dev/null; then
  git cat-file blob "main:$folder/$event.eml.age" | age -d -i "$tmp/article.key" > "$tmp/packed"
  zcat < "$tmp/packed" > "$tmp/original.eml" || fail "no original"
  digest=$(sha256sum < "$tmp/original.eml" | cut -d ' ' -f 1)
  grep -Eq "^original_sha256: '*$digest'*$" "$tmp/front" || fail "the original is not the one that the article names"
  echo "--- original"
  cat "$tmp/original.eml"
fi
