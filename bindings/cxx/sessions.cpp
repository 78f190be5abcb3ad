// sessions.cpp - an example of hakmem.hpp: a server's sessions live long, its requests do not, and each says so.
//
//     c++ -std=c++17 sessions.cpp $(pkg-config --cflags --libs hakmem) -o sessions
//     HAKMEM_SITES=1 ./sessions
//
// SPDX-License-Identifier: MIT
#include <hakmem.hpp>

#include <cstdio>
#include <string>
#include <unordered_map>
#include <vector>

namespace
{

enum purpose : hak_site_t { SESSIONS = 1, REQUESTS = 2 };

// The words of a request: gone as soon as it is answered.
std::size_t answer(int request, std::pmr::memory_resource &memory)
{
    std::pmr::vector<std::pmr::string> words{&memory};
    for (int i = 0; i < 50; i++)
        words.emplace_back("a word of request " + std::to_string(request) + " that is too long to lie in the string itself");
    return words.size();
}

} // namespace

int main()
{
    hakmem::memory_resource sessions{SESSIONS}, requests{REQUESTS};
    std::pmr::unordered_map<int, std::pmr::string> open{&sessions};
    std::size_t words = 0;
    for (int request = 0; request < 20000; request++) {
        words += answer(request, requests);
        if (request % 10 == 0)
            open.emplace(request, "what is known about somebody, for as long as the session is open: " + std::to_string(request));
    }
    std::printf("hakmem %s: %zu words answered, %zu sessions open\n", hak_version(), words, open.size());
}
