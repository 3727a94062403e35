/// tests/api/refused: a bus in a folder, and calls that leave it as it is.
#pragma once

#include "support/raises.hpp"
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace mmsb::test {

inline void make_bus(const TempFolder& folder) {
    auto bus = start(at(folder));
    bus.create_page(8, {.name = "p", .contents = bytes_of("abc")});
    stop(std::move(bus));
}

inline std::string text(const State& bus) { return text_of(bus.page("p").read()); }

inline fs::path only_segment(const TempFolder& folder) {
    std::vector<fs::path> all;
    for (const auto& entry : fs::directory_iterator(folder / "log"))
        if (entry.path().extension() == ".seg") all.push_back(entry.path());
    EXPECT_EQ(all.size(), 1U);
    return all.at(0);
}

// As thrown(), and no byte of the folder's files, nor their number, has changed.
template <class E, class F>
std::optional<E> refused(const TempFolder& folder, F&& call) {
    const auto files = [&] {
        std::map<std::string, std::string> all;
        for (const auto& entry : fs::recursive_directory_iterator(folder.path()))
            all[entry.path().string()] = entry.is_regular_file() ? read_file(entry.path()) : "";
        return all;
    };
    const auto before = files();
    auto error = thrown<E>(call);
    EXPECT_TRUE(files() == before);
    return error;
}

template <class E>
std::optional<E> refused(const TempFolder& folder, Open open = Open::create_or_open) {
    return refused<E>(folder,
                      [&] { static_cast<void>(start({.path = folder.path(), .open = open})); });
}

}  // namespace mmsb::test
