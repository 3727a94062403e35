#include <mmsb/delta.hpp>
#include <mmsb/error.hpp>

#include "delta/pages.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <vector>

namespace {

using namespace mmsb::delta;
using namespace mmsb::delta::test;
using mmsb::diff;
using mmsb::merge;

/// The model of a delta: which byte becomes what.
using Model = std::map<std::size_t, std::byte>;

Model model_of(const Delta& delta) {
    Model model;
    for (const auto& run : delta.runs()) {
        for (std::size_t i = 0; i < run.bytes.size(); ++i) model[run.offset + i] = run.bytes[i];
    }
    return model;
}

Bytes page_of(std::size_t size) {
    const auto raw =
        *rc::gen::container<std::vector<std::uint8_t>>(size, rc::gen::arbitrary<std::uint8_t>());
    Bytes page(size);
    for (std::size_t i = 0; i < size; ++i) page[i] = static_cast<std::byte>(raw[i]);
    return page;
}

/// Overwrites a few stretches; a value may well be the old one.
Bytes rewritten(Bytes page) {
    if (page.empty()) return page;
    const auto stretches = *rc::gen::inRange(0, 6);
    for (int s = 0; s < stretches; ++s) {
        const auto begin = *rc::gen::inRange<std::size_t>(0, page.size());
        const auto size = *rc::gen::inRange<std::size_t>(1, 150);
        for (auto i = begin; i < std::min(page.size(), begin + size); ++i) {
            page[i] = static_cast<std::byte>(*rc::gen::inRange(0, 4));
        }
    }
    return page;
}

void holds(bool (*property)()) { EXPECT_TRUE(property()); }

TEST(Property, ADiffTurnsOneIntoTheOtherAndTouchesNothingElse) {
    holds([] {
        return rc::check([] {
            const auto size = *rc::gen::inRange<std::size_t>(0, 1500);
            const auto before = page_of(size);
            const auto after = rewritten(before);
            const auto delta = diff(before, after);
            auto page = before;
            delta.apply_to(page);
            RC_ASSERT(page == after);
            for (const auto& [at, value] : model_of(delta)) RC_ASSERT(after[at] == value);
            RC_ASSERT(delta.changed_bytes() == model_of(delta).size());
            RC_ASSERT(delta.empty() == (before == after));
        });
    });
}

TEST(Property, AMergeIsBothModelsLaidOverEachOther) {
    holds([] {
        return rc::check([] {
            const auto size = *rc::gen::inRange<std::size_t>(0, 1000);
            const auto base = page_of(size);
            const auto first = diff(base, rewritten(base));
            const auto second = diff(base, rewritten(base));
            auto model = model_of(first);
            for (const auto& [at, value] : model_of(second)) model[at] = value;
            const auto both = merge(first, second);
            RC_ASSERT(model_of(both) == model);
            auto one = base, two = base;
            both.apply_to(one);
            first.apply_to(two);
            second.apply_to(two);
            RC_ASSERT(one == two);
        });
    });
}

TEST(Property, MergingIsAssociative) {
    holds([] {
        return rc::check([] {
            const auto size = *rc::gen::inRange<std::size_t>(0, 600);
            const auto base = page_of(size);
            const auto a = diff(base, rewritten(base));
            const auto b = diff(base, rewritten(base));
            const auto c = diff(base, rewritten(base));
            RC_ASSERT(merge(merge(a, b), c).encode() == merge(a, merge(b, c)).encode());
        });
    });
}

TEST(Property, ADeltaFileGivesBackTheDelta) {
    holds([] {
        return rc::check([] {
            const auto size = *rc::gen::inRange<std::size_t>(0, 1500);
            const auto before = page_of(size);
            const auto delta = diff(before, rewritten(before));
            const auto back = Delta::decode(delta.encode());
            RC_ASSERT(model_of(back) == model_of(delta));
            RC_ASSERT(back.page_size() == delta.page_size());
            RC_ASSERT(back.mask() == delta.mask());
            RC_ASSERT(back.dense() == delta.dense());
        });
    });
}

TEST(Property, AnyBytesAreADeltaFileOrInvalidDelta) {
    holds([] {
        return rc::check([] {
            const auto file = page_of(*rc::gen::inRange<std::size_t>(0, 200));
            try {
                static_cast<void>(Delta::decode(file));
            } catch (const mmsb::InvalidDelta& e) {
                RC_ASSERT(!e.expected().empty() && !e.found().empty());
            }
        });
    });
}

}  // namespace
