/// All of MMSB. To read: state.hpp, page.hpp, transaction.hpp, view.hpp; the words are in
/// types.hpp, the errors in error.hpp, what is to be said of damaged files in diagnosis.hpp.
#pragma once

#include <mmsb/diagnosis.hpp>
#include <mmsb/functions.hpp>
#include <mmsb/state.hpp>
